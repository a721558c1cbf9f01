"""With `seeds: engine`, whatever interrupts a job, each draw is made once and no stream twice."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from restem.artifacts.schemas.loop import PROBLEMS, SAMPLES
from restem.artifacts.seals import Recipe
from restem.artifacts.store import Job
from restem.artifacts.tables import read_provenance, read_rows, table, write_table
from restem.config.models import EngineSettings
from restem.policies.manifest import write_policy
from restem.sampling import loading, sampler
from restem.sampling.engine import Completion, Request, Usage
from restem.stages import samples
from restem.tasks.problem import Problem, to_row
from restem.tools.show import show

ASKED = [Problem(f"p{i}", f"Let $a={i}$. Find $a$.", str(i)) for i in range(5)]
ENGINE = {"name": "vllm", "device": "cpu", "seeds": "engine"}
Draw = tuple[str, int]


class Killed(Exception):
    """End a job where a signal would."""


class StreamEngine:
    """Sample from one stream of random numbers, which starts at a seed; stop where it is killed."""

    name, version, unit_draws = "stream", "stream 1.0", None

    def __init__(self, seed: int, kill_after: float) -> None:
        self._random, self._left = random.Random(seed), kill_after
        self.made: list[Draw] = []

    def sample(self, asked: Sequence[Request], *_: Any) -> Iterator[list[Completion]]:
        for request in asked:
            for draw, seed in zip(request.draws, request.seeds, strict=True):
                if len(self.made) >= self._left:
                    raise Killed
                self.made.append((request.problem_id, draw))
                text = str(self._random.random())
                yield [Completion(request.problem_id, draw, seed, text, 3, 5, "stop", "#", -1.0)]

    def usage(self) -> Usage:
        return Usage(0, 0, 1, 0)


class Runs:
    """Run jobs of one policy; remember the engines, and the seeds that they were loaded with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.engines: list[StreamEngine] = []
        self.seeds: list[int | None] = []
        self.kill_after = float("inf")
        (folder / "checkpoint").mkdir()
        (folder / "checkpoint/model.safetensors").write_bytes(save({"w": np.zeros(3, np.float32)}))
        write_policy(folder / "policy.json", {}, {})
        for name, rows in (("problems", ASKED), ("shots", [])):
            write_table(folder / name, PROBLEMS, table(PROBLEMS, map(to_row, rows)), {})

    def load(self, _: Path, __: EngineSettings, threads: int, seed: int | None = None) -> Any:
        self.seeds.append(seed)
        self.engines.append(StreamEngine(seed or 0, self.kill_after))
        return self.engines[-1]

    def run(
        self,
        name: str,
        draws: int,
        kill_after: float = float("inf"),
        engine: dict[str, Any] = ENGINE,
        **options: str,
    ) -> dict[Draw, str]:
        """Run the stage; return the texts of its table."""
        self.kill_after = kill_after
        stated = {
            "task": "chain", "engine": engine, "address": ["test", "explore", 0],
            "decoding": {"draws": draws, "temperature": 1, "max_tokens": 9},
        }  # fmt: skip
        recipe = Recipe("samples", stated, {}, "none", {"policy": ["content"]})
        output = self.folder / f"{name}.parquet"
        samples.run(
            Job(recipe, {}), samples.Settings.model_validate(stated), self.folder / "policy.json",
            self.folder / "problems", self.folder / "shots", output=output, **options,
        )  # fmt: skip
        rows = read_rows(output, SAMPLES)
        texts = {(row["problem_id"], row["draw"]): row["completion"] for row in rows}
        assert len(texts) == len(rows)
        return texts


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    made = Runs(tmp_path)
    monkeypatch.setattr(loading, "importlib", SimpleNamespace(import_module=lambda _: made))
    monkeypatch.setattr(sampler, "SAVE_SECONDS", 0.0)
    return made


def saved(runs: Runs, name: str) -> dict[Draw, str]:
    parts = (runs.folder / ".restem").rglob(f"{name}.part-*.parquet")
    rows = [row for path in parts for row in read_rows(path, SAMPLES)]
    return {(row["problem_id"], row["draw"]): row["completion"] for row in rows}


def test_a_resumed_job_makes_what_is_missing_in_another_stream(runs: Runs) -> None:
    kept: dict[Draw, str] = {}
    for kill_after in (0, 7, 4):
        with pytest.raises(Killed):
            runs.run("samples", 4, kill_after)
        held = saved(runs, "samples")
        assert kept.items() <= held.items()
        kept = held
    assert len(kept) == 11
    texts = runs.run("samples", 4)
    assert kept.items() <= texts.items()
    assert len(texts) == len(set(texts.values())) == 20
    made = [draw for engine in runs.engines for draw in engine.made]
    assert len(made) == len(set(made)) == 20
    assert runs.seeds[0] == runs.seeds[1]  # nothing was kept
    assert len(set(runs.seeds)) == 3


def test_added_draws_are_new_ones_and_kept_ones_stay(runs: Runs) -> None:
    few = runs.run("samples", 2)
    many = runs.run("samples", 6)
    assert few.items() <= many.items()
    assert len(set(many.values())) == 30
    assert runs.engines[1].made == [(p.id, draw) for p in ASKED for draw in range(2, 6)]


def test_shards_have_streams_of_their_own(runs: Runs) -> None:
    first = runs.run("1", 3, shard="1-of-2")
    second = runs.run("2", 3, shard="2-of-2")
    assert len({*first.values(), *second.values()}) == 15


def test_the_same_command_starts_the_same_stream(runs: Runs) -> None:
    assert runs.run("a/samples", 3) == runs.run("b/samples", 3)
    assert all(seed is not None and 0 <= seed < 2**32 for seed in runs.seeds)  # numpy's range


def test_the_table_says_what_can_be_drawn_again(runs: Runs) -> None:
    runs.run("stream", 1)
    runs.run("seeded", 1, engine={})
    for name, seeds, promise in (
        ("stream", "engine", "recorded only"),
        ("seeded", "draw", "the same command draws the same completions"),
    ):
        provenance = read_provenance(runs.folder / f"{name}.parquet")
        assert provenance["seeds"] == seeds
        assert provenance["reproducible"].startswith(promise)
        assert f"seeds: {seeds} ({promise}" in show(runs.folder / f"{name}.parquet", 0, None)
    assert [seed is None for seed in runs.seeds] == [False, True]


def test_draws_with_and_without_seeds_are_never_mixed(runs: Runs) -> None:
    runs.run("samples", 2)
    runs.run("samples", 3, engine={"name": "vllm", "device": "cpu"})
    assert len(runs.engines[1].made) == 15
