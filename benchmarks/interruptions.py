"""Kill a run on one machine at random moments: itself, one of its jobs, or a warm process.

After every kill the same command is given again; whenever the study ends, its results must be those
of a run that nobody disturbed, and a new one begins. After the run itself was killed, none of its
processes may live on for longer than a minute.

    python -P benchmarks/interruptions.py [kills] [seed]     default: 100 0

Prints what was killed, and at the end how many studies ended with wrong results (0), with draws
that were lost or doubled (0), and how many processes were left behind (0).
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from restem.artifacts.files import artifact_digest
from restem.artifacts.schemas.loop import SAMPLES
from restem.artifacts.tables import read_rows

ROOT: Final = Path(__file__).parents[1]
NEEDED: Final = ("Snakefile", "rules", "config", "profiles", "envs", "containers", "src")
LONGEST: Final = 15.0  # seconds from the start of a run to its kill
PATIENCE: Final = 60.0  # seconds that the processes of a killed run have to end
STUDY: Final = """
study: interrupted
description: A small study that is killed again and again.
tasks:
  sums: {module: chain, data: {source: {kind: embedded}, train: 16, validation: 8, test: 16, shots: 1}}
models:
  S: {source: {kind: embedded, size: S}}
decodings:
  greedy: {draws: 1, temperature: 0, max_tokens: 96}
  explore: {draws: 16, temperature: 0.7, top_k: 40, max_tokens: 96}
variants:
  rest-em: {method: rest-em, task: sums, iterations: 2}
training: {learning_rate: 0.0004, epochs_max: 2, batch_size: 8, validations: 2}
evaluations:
  - {task: sums, split: test, decoding: greedy}
metrics: {resamples: 100}
figures: [accuracy_by_iteration]
tracking: {enabled: false}
"""  # noqa: E501 - as in a study


def main(kills: int, seed: int) -> None:
    """Kill so many runs; fail if anything was wrong."""
    chance, counts = random.Random(seed), Counter[str]()
    with tempfile.TemporaryDirectory(prefix="restem-") as name:
        root = Path(name).resolve()
        for entry in NEEDED:
            (shutil.copytree if (ROOT / entry).is_dir() else shutil.copy2)(
                ROOT / entry, root / entry
            )
        (root / "study.yaml").write_text(STUDY)
        finish(start(root))
        expected = contents(root)
        clear(root)
        while counts["kills"] < kills:
            interrupt(root, chance, counts)
            if not is_done(root):
                continue
            counts["studies"] += 1
            counts["wrong"] += contents(root) != expected
            counts["lost or doubled"] += not draws_are_whole(root)
            print(f"studies {counts['studies']}, wrong {counts['wrong']}", flush=True)
            clear(root)
        finish(start(root))
        counts["studies"] += 1
        counts["wrong"] += contents(root) != expected
        counts["lost or doubled"] += not draws_are_whole(root)
    names = ("kills", "studies", "wrong", "lost or doubled", "left behind")
    print(", ".join(f"{name} {counts[name]}" for name in names))
    sys.exit(any(counts[name] for name in names[2:]))


def interrupt(root: Path, chance: random.Random, counts: Counter[str]) -> None:
    """Start the study, and kill something of it if it does not end before."""
    run = start(root)
    moment = time.monotonic() + chance.uniform(1.0, LONGEST)
    while time.monotonic() < moment and run.poll() is None:
        time.sleep(0.05)
    if run.poll() is not None:
        return
    others = [pid for pid in processes(root) if pid != run.pid]
    victim = run.pid if not others or chance.random() < 0.4 else chance.choice(others)
    print(f"kill {counts['kills'] + 1}: {described(victim, run.pid)}", flush=True)
    try:
        os.kill(victim, signal.SIGKILL)
    except ProcessLookupError:
        return
    counts["kills"] += 1
    run.wait()
    if victim == run.pid:
        counts["left behind"] += len(left_behind(root))
        snakemake(root, "--unlock").wait()


def snakemake(root: Path, *arguments: str) -> "subprocess.Popen[bytes]":
    """Start Snakemake on the study; what it prints goes to a file."""
    programs = Path(sys.executable).parent
    variables = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    variables |= {"PYTHONPATH": str(root / "src"), "HF_HUB_OFFLINE": "1"}
    with (root / "run.log").open("ab") as log:
        return subprocess.Popen(
            [str(programs / "snakemake"), *arguments, "--configfile", "study.yaml"],
            cwd=root, env=variables, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip


def start(root: Path) -> "subprocess.Popen[bytes]":
    return snakemake(root, "all", "--cores", "2", "--rerun-incomplete")


def finish(run: "subprocess.Popen[bytes]") -> None:
    if run.wait():
        raise SystemExit("an undisturbed run failed")


def is_done(root: Path) -> bool:
    """Tell whether nothing is left to be done, once what still runs has ended."""
    left_behind(root)
    before = (root / "run.log").stat().st_size
    if snakemake(root, "all", "--cores", "2", "-n").wait():
        return False
    with (root / "run.log").open("rb") as log:
        log.seek(before)
        return b"Nothing to be done" in log.read()


def processes(root: Path) -> Iterator[int]:
    """Yield the processes whose working folder lies below the root."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                folder = (entry / "cwd").readlink()
            except OSError:
                continue
            if folder == root or root in folder.parents:
                yield int(entry.name)


def left_behind(root: Path) -> list[int]:
    """Return the processes that have not ended after a while."""
    until = time.monotonic() + PATIENCE
    while (found := list(processes(root))) and time.monotonic() < until:
        time.sleep(0.1)
    return found


def described(pid: int, run: int) -> str:
    """Return what a process is, in a few words."""
    if pid == run:
        return "the run"
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return "a process that has ended"
    return " ".join(Path(word).name for word in words[:4])


def contents(root: Path) -> dict[str, str]:
    """Return the content of every artifact; costs state seconds, which differ."""
    results = root / "results/interrupted"
    kinds = ("*.parquet", "policy.json", "*.safetensors", "table.md", "table.csv", "*.svg")
    files = [f for kind in kinds for f in results.rglob(kind) if ".restem" not in f.parts]
    files = [f for f in files if f.name not in ("costs.parquet", "ledger.parquet")]
    return {str(f.relative_to(results)): artifact_digest(f) for f in sorted(files)}


def draws_are_whole(root: Path) -> bool:
    """Tell whether every table of samples has each draw of each problem once."""
    for path in (root / "results/interrupted").rglob("samples/*.parquet"):
        if ".restem" in path.parts:
            continue
        draws = Counter(
            (row["problem_id"], row["draw"])
            for row in read_rows(path, SAMPLES, ("problem_id", "draw"))
        )
        problems = {problem for problem, _ in draws}
        each = len(draws) // max(len(problems), 1)
        if set(draws.values()) != {1} or len(draws) != each * len(problems):
            return False
    return True


def clear(root: Path) -> None:
    shutil.rmtree(root / "results", ignore_errors=True)
    shutil.rmtree(root / ".snakemake", ignore_errors=True)


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:]]
    main(*(numbers + [100, 0][len(numbers) :]))
