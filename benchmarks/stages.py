"""Memory and time of the stages that read all completions of a policy, by their number.

python benchmarks/stages.py [completions ...], by default 240,000 and 2,400,000: made-up completions
of 1.4 kB, 32 for each problem, in shards of 240,000. Prints seconds and peak memory of counting the
correct ones and of selecting examples.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from restem.artifacts.seals import Recipe
from restem.artifacts.store import Job
from restem.artifacts.tables import table, write_table
from restem.policies.manifest import write_policy
from restem.tasks.problem import Problem, to_row

DRAWS = 32
SHARD = 240_000
ADDRESS = {
    **{"task": "math", "split": "test", "decoding": "explore", "train_task": "math"},
    **{"model": "M", "variant": "v", "seed": 0, "iteration": 1, "greedy": False},
}


def make(folder: Path, completions: int) -> None:
    """Write problems, samples and rewards; a third is correct, texts differ."""
    count = completions // DRAWS
    problems = [Problem(f"p{i}", f"Question {i}?", str(i)) for i in range(count)]
    write_table(folder / "problems", "problems", table("problems", map(to_row, problems)), {})
    write_table(folder / "shots", "problems", table("problems", []), {})
    write_policy(folder / "policy.json", {}, {}, halted=None)
    for number, start in enumerate(range(0, count, SHARD // DRAWS)):
        keys = [
            (f"p{i}", draw)
            for i in range(start, min(start + SHARD // DRAWS, count))
            for draw in range(DRAWS)
        ]
        filler = "We add the numbers and look at what is left over. " * 27
        samples = (
            {"problem_id": p, "draw": d, "seed": d, "completion": f"{p} {d} {filler} {p}"}
            | {"tokens": 300, "prompt_tokens": 700, "finish_reason": "stop", "logprob": -1.0}
            | {"request": "r"}
            for p, d in keys
        )
        verdicts = (
            {"problem_id": p, "draw": d, "reward": float(d % 3 == 0), "fraction": 1.0}
            | {"verdict": "incorrect" if d % 3 else "correct", "layer": "text", "flexible": ""}
            | {"extracted": p[1:]}
            for p, d in keys
        )
        for kind, rows in (("samples", samples), ("rewards", verdicts)):
            write_table(folder / f"{kind}-{number:04}", kind, table(kind, rows), {})


def run(stage: str, folder: Path) -> None:
    """Run a stage on what `make` wrote; print seconds and the peak of this process's memory."""
    samples, rewards = (sorted(folder.glob(f"{kind}-*")) for kind in ("samples", "rewards"))
    started = time.monotonic()
    if stage == "metrics":
        from restem.stages import metrics

        metrics.run(
            Job(Recipe(stage, ADDRESS, {}, "none", {}), {}), metrics.Settings(**ADDRESS),
            samples, rewards, folder / "problems", folder / "policy.json",
            output=folder / "metrics",
        )  # fmt: skip
    else:
        from restem.stages import examples

        settings: dict[str, Any] = {"task": "math", "seed": [0, 1], "selection": {"cap": 10}}
        examples.run(
            Job(Recipe(stage, settings, {}, "none", {}), {}),
            examples.Settings.model_validate(settings), samples, rewards,
            problems=folder / "problems", shots=folder / "shots", output=folder / "examples",
        )  # fmt: skip
    seconds = time.monotonic() - started
    peak = next(
        int(line.split()[1]) * 1024
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("VmHWM")
    )
    print(json.dumps({"seconds": seconds, "peak": peak}))


def main(numbers: list[int]) -> None:
    """Print one line for each stage and number of completions."""
    print("| stage | completions | seconds | peak memory |\n| :-- | --: | --: | --: |")
    for completions in numbers:
        with tempfile.TemporaryDirectory() as folder:
            making = [sys.executable, "-P", __file__, "make", folder, str(completions)]
            subprocess.run(making, check=True)
            for stage in ("metrics", "examples"):
                command = [sys.executable, "-P", __file__, stage, folder]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                measured = json.loads(done.stdout.splitlines()[-1])
                seconds, peak = measured["seconds"], measured["peak"] / 1e9
                print(f"| {stage} | {completions:,} | {seconds:.1f} | {peak:.2f} GB |", flush=True)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["make", folder, completions]:
            make(Path(folder), int(completions))
        case [("metrics" | "examples") as stage, folder]:
            run(stage, Path(folder))
        case numbers:
            main([int(number) for number in numbers] or [240_000, 2_400_000])
