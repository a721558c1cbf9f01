"""Whatever interrupts a job, each draw is made once and the table is what it would have been."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from restem.artifacts.digests import digest
from restem.config.decoding import Decoding
from restem.sampling import drawing
from restem.sampling.drawing import Drawing, narrowed, units
from restem.sampling.engine import BadPrompts, Completion, PromptTooLong, Request, Usage, draw_seed
from restem.sampling.pool import Key, Pool
from restem.sampling.progress import Progress
from restem.sampling.usage import Ledger, summed

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


class Company:
    """Draw completions that depend on all that is asked for in the same call."""

    name, version = "company", "company 1.0"

    def __init__(self, unit_draws: int | None, lives: float = float("inf")) -> None:
        self.unit_draws = unit_draws
        self.lives = lives
        self.made: list[Key] = []

    def sample(
        self, asked: Sequence[Request], decoding: Decoding, stop: tuple[str, ...]
    ) -> Iterator[list[Completion]]:
        if long := [request.problem_id for request in asked if len(request.prompt) > 99]:
            raise PromptTooLong(long, 100)
        if bare := [request.problem_id for request in asked if not request.prompt]:
            raise BadPrompts("nothing to continue", bare, "give one")
        return self._sampled(asked)

    def _sampled(self, asked: Sequence[Request]) -> Iterator[list[Completion]]:
        company = digest([[r.problem_id, list(r.draws)] for r in asked if self.unit_draws])
        order = [(r, place) for r in asked for place in range(len(r.draws))]
        for request, place in random.Random(str(company)).sample(order, len(order)):
            if self.lives <= 0:
                raise Killed
            self.lives -= 1
            draw, seed = request.draws[place], request.seeds[place]
            self.made.append((request.problem_id, draw, seed))
            text = digest([company, seed])[:8]
            yield [Completion(request.problem_id, draw, seed, text, 3, 5, "stop", "#", -1.0)]

    def usage(self) -> Usage:
        return Usage(5 * len(self.made), 2 * len(self.made), 0, 1000 + len(self.made))


def keys(request: Request) -> list[Key]:
    return [(request.problem_id, d, s) for d, s in zip(request.draws, request.seeds, strict=True)]


def described(one: Completion) -> dict[str, Any]:
    return {
        "problem_id": one.problem_id,
        "draw": one.draw,
        "seed": one.seed,
        "completion": one.text,
        "tokens": one.tokens,
        "prompt_tokens": one.prompt_tokens,
        "finish_reason": one.finish_reason,
        "stop_reason": one.stop_reason,
        "logprob": one.logprob,
        "request": one.problem_id,
        "engine": "company 1.0",
    }


def job(
    engine: Company, asked: list[Request], output: Path, spent: list[Any] | None = None
) -> dict[Key, dict[str, Any]]:
    """Run one job until it ends or is killed; return all rows that there are."""
    pool = Pool(output, "a" * 64)
    rows = pool.rows({k for request in asked for k in keys(request)})
    ledger = Ledger()
    ledger.watch(engine)  # type: ignore[arg-type]
    drawn = Drawing(engine, DECODING, ("#",), pool, rows)  # type: ignore[arg-type]
    try:
        drawn.draw(asked, keys, described, ledger, Progress(99))
    finally:
        if spent is not None:
            spent += pool.spent()
    if drawn.refused:
        raise drawn.refused[0]
    return rows


@pytest.fixture(autouse=True)
def save_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "SAVE_SECONDS", 0.0)


@pytest.mark.parametrize("unit_draws", [None, 1, 6, 8, 1000])
def test_interruptions_change_no_row(tmp_path: Path, unit_draws: int | None) -> None:
    whole = job(Company(unit_draws), requests(), tmp_path / "whole/s.parquet")
    assert len(whole) == 44
    chance = random.Random(str(unit_draws))
    output, kills, saved = tmp_path / "cut.parquet", 0, 0
    while True:
        engine = Company(unit_draws, chance.choice([0, 1, 5, 9]) if kills < 6 else 60)
        try:
            rows = job(engine, requests(), output)
            break
        except Killed:
            kills += 1
            held = Pool(output, "a" * 64).rows({k for r in requests() for k in keys(r)})
            assert saved <= len(held)
            saved = len(held)
    assert rows == whole
    assert kills == 6


@pytest.mark.parametrize("unit_draws", [None, 6])
def test_what_is_there_is_not_drawn_again(tmp_path: Path, unit_draws: int | None) -> None:
    output = tmp_path / "s.parquet"
    first, second = Company(unit_draws), Company(unit_draws)
    before = job(first, requests(11, 2), output)
    after = job(second, requests(13, 4), output)
    assert not set(first.made) & set(second.made)
    assert len(second.made) == len(set(second.made)) == 13 * 4 - 22
    assert {k: after[k] for k in before} == before


def test_what_a_kill_had_cost_is_counted(tmp_path: Path) -> None:
    spent: list[Any] = []
    with pytest.raises(Killed):
        job(Company(None, 17), requests(), tmp_path / "s.parquet", spent)
    total = summed(spent)
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
        job(Company(unit_draws), asked, tmp_path / "s.parquet")
    held = Pool(tmp_path / "s.parquet", "a" * 64).rows({k for r in asked for k in keys(r)})
    assert len(held) == 9 * 4
    assert not {"p3", "p7"} & {name for name, _, _ in held}


def test_units_follow_from_the_whole_list() -> None:
    asked = requests()
    found = list(units(asked, 8))
    assert [len(unit) for unit in found] == [2, 2, 2, 2, 2, 1]
    assert found == list(units(asked[::-1], 8))
    lengths = [len(request.prompt) for unit in found for request in unit]
    assert lengths == sorted(lengths)
    assert list(units(asked, None)) == [asked]
    assert list(units([], 8)) == []


def test_narrowed_keeps_what_is_missing() -> None:
    [one] = requests(1)
    rows = {keys(one)[1]: {}, keys(one)[2]: {}}
    assert [request.draws for request in narrowed([one], keys, rows)] == [(0, 3)]
    assert narrowed([one], keys, {k: {} for k in keys(one)}) == []


def test_a_failing_save_is_not_swallowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(Pool, "save", full)
    with pytest.raises(OSError, match="no space left"):
        job(Company(None), requests(), tmp_path / "s.parquet")
