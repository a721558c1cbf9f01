"""Whatever interrupts a job, each draw is made once, and the rows are those of a whole run."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from restem.artifacts.digests import digest
from restem.config.decoding import Decoding
from restem.sampling import sampler
from restem.sampling.engine import BadPrompts, Completion, PromptTooLong, Request, Usage, draw_seed
from restem.sampling.pool import Key, Pool, keys_of
from restem.sampling.sampler import Sampler, units, without_rows
from restem.sampling.usage import Progress, UsageCounter, sum_usage

DECODING = Decoding(draws=4, temperature=1, max_tokens=9)


def requests(problems: int = 11, draws: int = 4) -> list[Request]:
    return [
        Request(
            f"p{number}",
            "prefix",
            "x" * (number * 7 % 5 + 1),
            tuple(range(draws)),
            tuple(draw_seed("p", "s", "d", f"p{number}", draw, 0) for draw in range(draws)),
        )
        for number in range(problems)
    ]


class Killed(Exception):
    """End a job where a signal would."""


class UnitEngine:
    """Sample completions that depend on all draws of the same call; `draws_left` until a kill."""

    name, version = "unit", "unit 1.0"

    def __init__(self, unit_draws: int | None, draws_left: float = float("inf")) -> None:
        self.unit_draws = unit_draws
        self.draws_left = draws_left
        self.made: list[Key] = []

    def sample(
        self, asked: Sequence[Request], decoding: Decoding, stop: tuple[str, ...]
    ) -> Iterator[list[Completion]]:
        if long := [request.problem_id for request in asked if len(request.prompt) > 99]:
            raise PromptTooLong(long, 100)
        if bare := [request.problem_id for request in asked if not request.prompt]:
            raise BadPrompts("nothing to continue", bare, "give one")
        return self._sample(asked)

    def _sample(self, asked: Sequence[Request]) -> Iterator[list[Completion]]:
        unit = digest([[r.problem_id, list(r.draws)] for r in asked if self.unit_draws])
        order = [(r, place) for r in asked for place in range(len(r.draws))]
        for request, place in random.Random(str(unit)).sample(order, len(order)):
            if self.draws_left <= 0:
                raise Killed
            self.draws_left -= 1
            draw, seed = request.draws[place], request.seeds[place]
            self.made.append((request.problem_id, draw, seed))
            text = digest([unit, seed])[:8]
            yield [Completion(request.problem_id, draw, seed, text, 3, 5, "stop", "#", -1.0)]

    def usage(self) -> Usage:
        return Usage(5 * len(self.made), 2 * len(self.made), 0, 1000 + len(self.made))


def all_keys(asked: list[Request]) -> set[Key]:
    return {key for request in asked for key in keys_of(request)}


def job(
    engine: UnitEngine, asked: list[Request], output: Path, saved_usage: list[Any] | None = None
) -> dict[Key, dict[str, Any]]:
    """Run one job until it ends or is killed; return all rows."""
    pool = Pool(output, "a" * 64)
    rows = pool.rows(all_keys(asked))
    counter = UsageCounter()
    counter.attach(engine)  # type: ignore[arg-type]
    sampling = Sampler(engine, DECODING, ("#",), pool, rows)  # type: ignore[arg-type]
    try:
        sampling.sample(asked, counter, Progress(99))
    finally:
        if saved_usage is not None:
            saved_usage += pool.saved_usage()
    if sampling.refused:
        raise sampling.refused[0]
    return rows


@pytest.fixture(autouse=True)
def save_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler, "SAVE_SECONDS", 0.0)


@pytest.mark.parametrize("unit_draws", [None, 1, 6, 8, 1000])
def test_interruptions_change_no_row(tmp_path: Path, unit_draws: int | None) -> None:
    whole = job(UnitEngine(unit_draws), requests(), tmp_path / "whole/s.parquet")
    assert len(whole) == 44
    chance = random.Random(str(unit_draws))
    output, kills, saved = tmp_path / "cut.parquet", 0, 0
    while True:
        engine = UnitEngine(unit_draws, chance.choice([0, 1, 5, 9]) if kills < 6 else 60)
        try:
            rows = job(engine, requests(), output)
            break
        except Killed:
            kills += 1
            held = Pool(output, "a" * 64).rows(all_keys(requests()))
            assert saved <= len(held)
            saved = len(held)
    assert rows == whole
    assert kills == 6


@pytest.mark.parametrize("unit_draws", [None, 6])
def test_existing_draws_are_not_made_again(tmp_path: Path, unit_draws: int | None) -> None:
    output = tmp_path / "s.parquet"
    first, second = UnitEngine(unit_draws), UnitEngine(unit_draws)
    before = job(first, requests(11, 2), output)
    after = job(second, requests(13, 4), output)
    assert not set(first.made) & set(second.made)
    assert len(second.made) == len(set(second.made)) == 13 * 4 - 22
    assert {key: after[key] for key in before} == before


def test_usage_before_a_kill_is_counted(tmp_path: Path) -> None:
    saved_usage: list[Any] = []
    with pytest.raises(Killed):
        job(UnitEngine(None, 17), requests(), tmp_path / "s.parquet", saved_usage)
    total = sum_usage(saved_usage)
    assert (total["draws"], total["prompt_tokens"], total["cached_tokens"]) == (17, 85, 34)
    assert (total["generated_tokens"], total["peak_memory_bytes"]) == (51, 1017)
    assert total["gpu_seconds"] == 0 < total["wall_seconds"]


@pytest.mark.parametrize("unit_draws", [None, 6])
def test_bad_prompts_are_reported_and_the_others_are_finished(
    tmp_path: Path, unit_draws: int | None
) -> None:
    asked = requests()
    asked[3] = replace(asked[3], prompt="x" * 100)
    asked[7] = replace(asked[7], prompt="")
    with pytest.raises(BadPrompts):
        job(UnitEngine(unit_draws), asked, tmp_path / "s.parquet")
    held = Pool(tmp_path / "s.parquet", "a" * 64).rows(all_keys(asked))
    assert len(held) == 9 * 4
    assert not {"p3", "p7"} & {row["problem_id"] for row in held.values()}


def test_units_follow_from_the_whole_list() -> None:
    asked = requests()
    split = list(units(asked, 8))
    assert [len(unit) for unit in split] == [2, 2, 2, 2, 2, 1]
    assert split == list(units(asked[::-1], 8))
    lengths = [len(request.prompt) for unit in split for request in unit]
    assert lengths == sorted(lengths)
    assert list(units(asked, None)) == [asked]
    assert list(units([], 8)) == []


def test_draws_with_a_row_are_not_asked_for() -> None:
    [request] = requests(1)
    keys = keys_of(request)
    rows = {keys[1]: {}, keys[2]: {}}
    assert [reduced.draws for reduced in without_rows([request], rows)] == [(0, 3)]
    [chat] = without_rows([replace(request, chat=True)], rows)
    assert chat.chat
    assert without_rows([request], {key: {} for key in keys}) == []


def test_a_failing_save_is_not_swallowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(Pool, "save", full)
    with pytest.raises(OSError, match="no space left"):
        job(UnitEngine(None), requests(), tmp_path / "s.parquet")
