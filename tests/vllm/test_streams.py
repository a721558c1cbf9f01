"""With `seeds: engine` vLLM draws each completion once, whatever kills its jobs, and no copies."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from restem.artifacts.tables import read_provenance, read_rows

# Warnings of another project's libraries are not ours to fail on.
pytestmark = [pytest.mark.vllm, pytest.mark.filterwarnings("default")]

ROOT = Path(__file__).parents[2]
PROBLEMS = 8
DATA = {"source": {"kind": "embedded", "pool": 20}, "test": PROBLEMS, "shots": 1}
ENGINE = {"name": "vllm", "device": "cpu", "rows": 8, "cache_gib": 0.25}
Draw = tuple[str, int]

# A stage as a process of its own, which kills itself once so many completions are saved, and fails
# where a request has a seed that it should not have, or lacks the one that it should have.
JOB = """
import os, signal, sys
from restem.cli import main
from restem.sampling import sampler
from restem.sampling.pool import Pool

kill_after, seeds = float(sys.argv.pop(1)), sys.argv.pop(1)
sampler.SAVE_SECONDS, save, saved = 0.0, Pool.save, 0

def save_or_die(self, rows, usage=None):
    global saved
    save(self, rows, usage)
    saved += len(rows)
    if saved >= kill_after:
        os.kill(os.getpid(), signal.SIGKILL)

Pool.save = save_or_die
if seeds:
    from restem.sampling.vllm import engine
    sampling_params = engine.sampling_params

    def checked(*arguments):
        params = sampling_params(*arguments)
        assert (params.seed is None) == (seeds == "engine"), params
        return params

    engine.sampling_params = checked
main()
"""


def run(stage: str, settings: Any, *arguments: object, kill_after: float = float("inf")) -> int:
    """Run a stage; return its exit status."""
    seeds = settings["engine"].get("seeds", "draw") if "engine" in settings else ""
    command = [sys.executable, "-W", "ignore", "-c", JOB, str(kill_after), seeds, stage]
    command += [*map(str, arguments), "--settings", json.dumps(settings)]
    own = {k: v for k, v in os.environ.items() if not k.startswith("VLLM_")}  # vLLM has set some
    done = subprocess.run(command, cwd=ROOT, env=own, capture_output=True, text=True, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done.stdout + done.stderr
    return done.returncode


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    """Make a policy and its problems; return the options that name them."""
    folder = tmp_path_factory.mktemp("inputs")
    splits = {name: folder / f"{name}.parquet" for name in ("test", "shots")}
    for split, path in splits.items():
        run("problems", {"task": "chain", "split": split, "data": DATA}, "--output", path)
    policy, checkpoint = folder / "policy.json", folder / "checkpoint"
    source = {"source": {"kind": "embedded", "size": "S"}}
    run("base", source, "--output", policy, "--checkpoint", checkpoint)
    return ["--policy", policy, "--problems", splits["test"], "--shots", splits["shots"]]


def sample(
    inputs: list[object], folder: Path, draws: int, kill_after: float = float("inf"), **engine: Any
) -> dict[Draw, str]:
    """Sample at a temperature at which no two completions are equal; return what is saved."""
    settings = {
        "task": "chain", "engine": ENGINE | engine, "address": ["test", "explore", 0],
        "decoding": {"draws": draws, "temperature": 1.5, "top_k": 200, "max_tokens": 64},
    }  # fmt: skip
    output = folder / "samples.parquet"
    status = run("samples", settings, *inputs, "--output", output, kill_after=kill_after)
    if status == 0:
        return completions(output)
    parts = [completions(path) for path in folder.rglob("*.part-*.parquet")]
    saved = {draw: text for part in parts for draw, text in part.items()}
    assert len(saved) == sum(map(len, parts)) >= kill_after
    return saved


def completions(path: Path) -> dict[Draw, str]:
    rows = read_rows(path, "samples")
    texts = {(row["problem_id"], row["draw"]): row["completion"] for row in rows}
    assert len(texts) == len(rows)
    return texts


def test_kept_draws_stay_and_all_others_are_new(inputs: list[object], tmp_path: Path) -> None:
    kept = sample(inputs, tmp_path, 4, kill_after=12, seeds="engine")
    assert 12 <= len(kept) < 4 * PROBLEMS
    resumed = sample(inputs, tmp_path, 4, seeds="engine")
    assert kept.items() <= resumed.items()
    more = sample(inputs, tmp_path, 8, seeds="engine")
    assert resumed.items() <= more.items()
    assert len(more) == len(set(more.values())) == 8 * PROBLEMS
    provenance = read_provenance(tmp_path / "samples.parquet")
    assert (provenance["seeds"], provenance["counts"]["drawn"]) == ("engine", 4 * PROBLEMS)
    # On a CPU, another job from the start repeats the stream of the first.
    again = sample(inputs, tmp_path / "again", 4, kill_after=12, seeds="engine")
    assert (
        {draw: again[draw] for draw in kept if draw in again}
        == {draw: kept[draw] for draw in kept if draw in again}
        != {}
    )


def test_with_a_seed_per_draw_an_interruption_changes_nothing(
    inputs: list[object], tmp_path: Path
) -> None:
    kept = sample(inputs, tmp_path / "cut", 2, kill_after=6)
    resumed = sample(inputs, tmp_path / "cut", 2)
    assert kept.items() <= resumed.items()
    assert resumed == sample(inputs, tmp_path / "whole", 2)
