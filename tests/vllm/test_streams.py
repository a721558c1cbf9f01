"""With `seeds: engine` vLLM draws each completion once, whatever kills its jobs, and no copies."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from restem.artifacts.schemas.loop import SAMPLES
from restem.artifacts.tables import read_provenance, read_rows

# Warnings of another project's libraries are not ours to fail on.
pytestmark = [pytest.mark.vllm, pytest.mark.filterwarnings("default")]

ROOT = Path(__file__).parents[2]
PROBLEMS = 4
DATA = {"source": {"kind": "embedded", "pool": 20}, "test": PROBLEMS, "shots": 1}
ENGINE = {"name": "vllm", "device": "cpu", "rows": 4, "cache_gib": 0.25}
Draw = tuple[str, int]

# It forks a process for every job that it reads, so that vLLM is imported once. A job kills itself
# once so many completions are saved, and fails where a request has a seed that it should not have,
# or lacks the one that it should have.
FORKS = """
import json, os, signal, sys
import vllm.v1.engine.llm_engine, vllm.v1.worker.cpu_worker
from restem.cli import main
from restem.sampling import sampler
from restem.sampling.pool import Pool
from restem.sampling.vllm import engine

def run(arguments, kill_after, seeds):
    save, sampling_params, saved = Pool.save, engine.sampling_params, 0

    def save_or_die(self, rows, usage=None):
        nonlocal saved
        save(self, rows, usage)
        saved += len(rows)
        if saved >= kill_after:
            os.kill(os.getpid(), signal.SIGKILL)

    def checked(*arguments):
        params = sampling_params(*arguments)
        assert (params.seed is None) == (seeds == "engine"), params
        return params

    Pool.save, engine.sampling_params, sampler.SAVE_SECONDS = save_or_die, checked, 0.0
    sys.argv = ["restem", *arguments]
    main()

for line in sys.stdin:
    child = os.fork()
    if not child:
        os.dup2(2, 1)
        run(*json.loads(line))
        sys.exit()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
VARIABLES = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}


class Jobs:
    """Run stages, each in a process of its own."""

    def __init__(self, process: Any, log: Path) -> None:
        self._process, self._log = process, log

    def run(self, stage: str, settings: Any, *arguments: object, kill_after: float = 1e9) -> int:
        """Run a stage; return its exit status."""
        seeds = settings.get("engine", {}).get("seeds", "draw")
        options = [*map(str, arguments), "--settings", json.dumps(settings)]
        job = [[stage, *options], kill_after, seeds]
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        status = int(self._process.stdout.readline() or -1)
        assert status in (0, -signal.SIGKILL), self._log.read_text()
        return status


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jobs]:
    log = tmp_path_factory.mktemp("jobs") / "log"
    own = {k: v for k, v in os.environ.items() if not k.startswith("VLLM_")}  # vLLM has set some
    command = [sys.executable, "-W", "ignore", "-c", FORKS]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with (
        log.open("w") as errors,
        subprocess.Popen(
            command, cwd=ROOT, env=own | VARIABLES, text=True, stderr=errors, **pipes
        ) as process,
    ):
        yield Jobs(process, log)
        process.stdin.close()


@pytest.fixture(scope="module")
def inputs(jobs: Jobs, tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    """Make a policy and its problems; return the options that name them."""
    folder = tmp_path_factory.mktemp("inputs")
    splits = {name: folder / f"{name}.parquet" for name in ("test", "shots")}
    for split, path in splits.items():
        jobs.run("problems", {"task": "chain", "split": split, "data": DATA}, "--output", path)
    policy, checkpoint = folder / "policy.json", folder / "checkpoint"
    source = {"source": {"kind": "embedded", "size": "S"}}
    jobs.run("base", source, "--output", policy, "--checkpoint", checkpoint)
    return ["--policy", policy, "--problems", splits["test"], "--shots", splits["shots"]]


@pytest.fixture
def sample(jobs: Jobs, inputs: list[object]) -> Callable[..., dict[Draw, str]]:
    return partial(sampled, jobs, inputs)


def sampled(
    jobs: Jobs,
    inputs: list[object],
    folder: Path,
    draws: int,
    kill_after: float = 1e9,
    replicas: int = 1,
    **engine: Any,
) -> dict[Draw, str]:
    """Sample at a temperature at which no two completions are equal; return what is saved."""
    settings = {
        "task": "chain", "engine": ENGINE | engine, "address": ["test", "explore", 0],
        "decoding": {"draws": draws, "temperature": 1.5, "top_k": 200, "max_tokens": 48},
    }  # fmt: skip
    output = folder / "samples.parquet"
    options = [*inputs, "--output", output, "--replicas", replicas]
    status = jobs.run("samples", settings, *options, kill_after=kill_after)
    if status == 0:
        return completions(output)
    parts = [completions(path) for path in folder.rglob("*.part-*.parquet")]
    saved = {draw: text for part in parts for draw, text in part.items()}
    assert len(saved) == sum(map(len, parts)) >= kill_after
    return saved


def completions(path: Path) -> dict[Draw, str]:
    rows = read_rows(path, SAMPLES)
    texts = {(row["problem_id"], row["draw"]): row["completion"] for row in rows}
    assert len(texts) == len(rows)
    return texts


def test_kept_draws_stay_and_all_others_are_new(sample: Any, tmp_path: Path) -> None:
    kept = sample(tmp_path, 4, kill_after=6, seeds="engine")
    assert 6 <= len(kept) < 4 * PROBLEMS
    resumed = sample(tmp_path, 4, seeds="engine")
    assert kept.items() <= resumed.items()
    more = sample(tmp_path, 8, replicas=2, seeds="engine")
    assert resumed.items() <= more.items()
    assert len(more) == len(set(more.values())) == 8 * PROBLEMS
    provenance = read_provenance(tmp_path / "samples.parquet")
    assert (provenance["seeds"], provenance["counts"]["drawn"]) == ("engine", 4 * PROBLEMS)
    # On a CPU, another job from the start repeats the stream of the first.
    again = sample(tmp_path / "again", 4, kill_after=6, seeds="engine")
    both = kept.keys() & again.keys()
    assert both
    assert all(kept[draw] == again[draw] for draw in both)


def test_with_a_seed_per_draw_neither_interruptions_nor_replicas_change_anything(
    sample: Any, tmp_path: Path
) -> None:
    kept = sample(tmp_path / "cut", 2, kill_after=3)
    resumed = sample(tmp_path / "cut", 2)
    assert kept.items() <= resumed.items()
    assert resumed == sample(tmp_path / "whole", 2, replicas=2)
    usage = read_provenance(tmp_path / "whole/samples.parquet")["usage"]
    assert usage["draws"] == 2 * PROBLEMS
    assert usage["prompt_tokens"] > usage["cached_tokens"] > 0
