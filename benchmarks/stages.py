"""Memory and time of the stages that read many completions or many policies, by their number.

python benchmarks/stages.py [completions ...], by default 240,000 and 2,400,000: made-up completions
of 1.4 kB, 32 for each problem, in shards of 240,000. Prints seconds and peak memory of each stage:
verifying one shard; counting, selecting and charging all completions; a summary of as many draws,
500 problems in an evaluation; and the ledger and the page of a study with one policy for every
2,400 completions.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from restem.artifacts.schemas.estimates import LIFTS, SUMMARY
from restem.artifacts.schemas.evaluation import COST_COLUMNS, COSTS, METRICS, OVERLAP
from restem.artifacts.schemas.loop import PROBLEMS, REWARDS, SAMPLES
from restem.artifacts.seals import Recipe
from restem.artifacts.store import Job
from restem.artifacts.tables import table, write_table
from restem.policies.manifest import write_policy
from restem.tasks.problem import Problem, to_row

DRAWS = 32
SHARD = 240_000
EVALUATED = 500  # of an evaluation
FOR_A_POLICY = 2_400  # completions
ADDRESS = {
    **{"task": "math", "split": "test", "decoding": "explore", "train_task": "math"},
    **{"model": "M", "variant": "v", "seed": 0, "iteration": 1, "greedy": False},
}


def make(folder: Path, completions: int) -> None:
    """Write problems, samples and rewards; a third is correct, texts differ."""
    count = completions // DRAWS
    problems = [Problem(f"p{i}", f"Question {i}?", str(i)) for i in range(count)]
    write_table(folder / "problems", PROBLEMS, table(PROBLEMS, map(to_row, problems)), {})
    write_table(folder / "shots", PROBLEMS, table(PROBLEMS, []), {})
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
        for kind, rows in ((SAMPLES, samples), (REWARDS, verdicts)):
            write_table(folder / f"{kind.name}-{number:04}", kind, table(kind, rows), {})


def make_study(folder: Path, policies: int) -> None:
    """Write the tables that a study with that many policies has; one evaluation of each."""
    folder.mkdir()
    names = [f"v{i // 9}/{i % 9 + 1}" for i in range(policies)]
    metrics, summary, lifts, costs = [], [], [], []
    for place, name in enumerate(names):
        variant, iteration = name.split("/")
        address = {"task": "math", "split": "test", "model": "M", "variant": variant}
        address |= {"iteration": int(iteration), "decoding": "explore"}
        metrics += [
            address
            | {"greedy": False, "seed": 0, "problem_id": f"p{i}", "subject": "", "draws": DRAWS}
            | {"correct": (i + place) % DRAWS, "unextractable": 0, "completion_tokens_mean": 300.0}
            for i in range(EVALUATED)
        ]
        interval = {"estimate": 0.5, "low": 0.4, "high": 0.6}
        about = {"problems": EVALUATED, "seeds": 1, **interval}
        for k in (1, 2, 4, 8, 16, 32):
            quantity = {"quantity": f"pass@{k}", **about}
            summary.append(address | quantity | {"draws": DRAWS, "k": k})
            lifts += [address | quantity | {"reference": other} for other in ("base", "sft")]
        cost = dict.fromkeys(COST_COLUMNS, 1.0)
        costs += [
            {"name": f"M/{path}", "below_draw": 0, "below_problem": 0, "problems": 0, **cost}
            for path in (name, f"{name}/samples")
        ]
    for kind, rows in ((SUMMARY, summary), (LIFTS, lifts), (COSTS, costs)):
        write_table(folder / kind.name, kind, table(kind, rows), {})
    for number, start in enumerate(range(0, len(metrics), SHARD)):
        rows = metrics[start : start + SHARD]
        write_table(folder / f"metrics-{number:04}", METRICS, table(METRICS, rows), {})
    write_table(folder / "overlap", OVERLAP, table(OVERLAP, []), {})


def of_study(stage: str, folder: Path, policies: int) -> None:
    """Run a stage of a whole study."""
    job = Job(Recipe(stage, {}, {}, "none", {}), {})
    names = [f"v{i // 9}/{i % 9 + 1}" for i in range(policies)]
    if stage == "summary":
        from restem.config.metrics import Metrics
        from restem.stages import summary

        estimators = Metrics(ks=[1, 2, 4, 8, 16, 32], resamples=200)
        summary.run(
            job, summary.Settings(metrics=estimators, aliases=[], references=[]),
            sorted(folder.glob("metrics-*")),
            output=folder / "new", lifts=folder / "new-lifts",
        )  # fmt: skip
    elif stage == "ledger":
        from restem.stages import ledger

        # A policy stands on those before it in its variant.
        chains = {
            f"M/{name}": [
                {"path": f"M/{name.split('/')[0]}/{i}{part}"}
                for i in range(1, int(name.split("/")[1]) + 1)
                for part in ("", "/samples")
            ]
            for name in names
        }
        by_variant: dict[str, Any] = {}
        for name, uses in chains.items():
            by_variant[name.split("/")[1]] = uses
        groups = {
            "study": {"study": [use for uses in by_variant.values() for use in uses]},
            "variant": by_variant,
            "policy": chains,
        }
        settings = {"label": "made up", "groups": groups, "aliases": {}}
        ledger.run(
            job, ledger.Settings.model_validate(settings), [folder / "costs"],
            output=folder / "ledger", page=folder / "ledger.md",
        )  # fmt: skip
    else:
        from restem.stages import page

        settings = page.Settings(
            study="made-up", description="", label="made up", 
            trained={"math": [f"v{i}" for i in range(policies // 9 + 1)]},
            references=["sft"], confidence=0.95, facts=[], figures=[], main={"math": "v0"},
            compared=[], claims=[], sharing={}, splits=[],
        )  # fmt: skip
        page.run(
            job, settings, folder / "summary", folder / "lifts", folder / "ledger",
            folder / "overlap", output=folder / "index.html",
        )  # fmt: skip


def run(stage: str, folder: Path) -> None:
    """Run a stage on what `make` wrote."""
    samples, rewards = (sorted(folder.glob(f"{kind}-*")) for kind in ("samples", "rewards"))
    started = time.monotonic()
    if stage == "rewards":
        from restem.stages import rewards as verification

        verifier = {"task": "math", "verifier": "math", "reward": {}}
        verification.run(
            Job(Recipe(stage, ADDRESS, {}, "none", {}), {}),
            verification.Settings.model_validate(verifier),
            samples[:1], folder / "problems", output=folder / "verified",
        )  # fmt: skip
    elif stage == "costs":
        from restem.stages import costs

        address = "M/v/seed-0/iter-1/math/test/explore/seed-0"
        target = folder / address / "samples"
        target.mkdir(parents=True, exist_ok=True)
        shards = []
        for path in samples:
            shards.append(target / path.name)
            if not shards[-1].exists():
                shards[-1].hardlink_to(path)
        costs.run(
            Job(Recipe(stage, ADDRESS, {}, "none", {}), {}),
            costs.Settings(policy="M/v/seed-0/iter-1", draws=[address]),
            folder / "policy.json", shards, output=folder / "costs",
        )  # fmt: skip
    elif stage == "metrics":
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
    report(started)


def report(started: float) -> None:
    """Print seconds, and the peak of this process's memory."""
    seconds = time.monotonic() - started
    peak = next(
        int(line.split()[1]) * 1024
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("VmHWM")
    )
    print(json.dumps({"seconds": seconds, "peak": peak}))


def main(numbers: list[int]) -> None:
    """Print one line for each stage and number of completions."""
    print("| stage | completions | policies | seconds | peak memory |")
    print("| :-- | --: | --: | --: | --: |")
    for completions in numbers:
        policies = completions // FOR_A_POLICY
        with tempfile.TemporaryDirectory() as folder:
            call("make", folder, str(completions))
            for stage in ("rewards", "metrics", "examples", "costs"):
                show(
                    stage,
                    f"{min(completions, SHARD) if stage == 'rewards' else completions:,}",
                    "1",
                    folder,
                )
        with tempfile.TemporaryDirectory() as folder:
            call("make-study", f"{folder}/study", str(policies))
            for stage in ("summary", "ledger", "page"):
                show(stage, "", f"{policies:,}", f"{folder}/study", str(policies))


def call(*arguments: str) -> str:
    """Run a part of this file in a process of its own; return what it printed last."""
    command = [sys.executable, "-P", __file__, *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return (done.stdout.splitlines() or [""])[-1]


def show(stage: str, completions: str, policies: str, *arguments: str) -> None:
    """Measure a stage, and print its line."""
    measured = json.loads(call(stage, *arguments))
    seconds, peak = measured["seconds"], measured["peak"] / 1e9
    print(f"| {stage} | {completions} | {policies} | {seconds:.1f} | {peak:.2f} GB |", flush=True)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["make", folder, completions]:
            make(Path(folder), int(completions))
        case ["make-study", folder, policies]:
            make_study(Path(folder), int(policies))
        case [("rewards" | "metrics" | "examples" | "costs") as stage, folder]:
            run(stage, Path(folder))
        case [stage, folder, policies]:
            begun = time.monotonic()
            of_study(stage, Path(folder), int(policies))
            report(begun)
        case numbers:
            main([int(number) for number in numbers] or [240_000, 2_400_000])
