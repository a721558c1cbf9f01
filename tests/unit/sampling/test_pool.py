"""A pool returns the draws of its recipe, and no others."""

import os
from pathlib import Path
from typing import Any

import pytest

from restem.artifacts.schemas.loop import SAMPLES
from restem.artifacts.seals import HIDDEN
from restem.artifacts.tables import table, write_table
from restem.sampling.pool import Key, Pool, key_of

RECIPE = "a" * 64
OTHER = "b" * 64


def row(problem: int, draw: int, text: str = "") -> dict[str, Any]:
    return {
        "problem_id": f"p{problem}",
        "draw": draw,
        "seed": 1000 * problem + draw,
        "completion": text or f"{problem}/{draw}",
        "tokens": 3,
        "prompt_tokens": 9,
        "finish_reason": "stop",
        "logprob": -1.5,
        "request": f"request {problem}",
        "stop_reason": "\n\n",
        "engine": "some 1.0",
    }


def rows(problems: int, draws: int) -> list[dict[str, Any]]:
    return [row(problem, draw) for problem in range(problems) for draw in range(draws)]


def keys(rows: list[dict[str, Any]]) -> set[Key]:
    return {key_of(row) for row in rows}


def finish(output: Path, rows: list[dict[str, Any]], recipe: str = RECIPE) -> None:
    """Finish a samples table as its stage does, after Snakemake deleted the old one."""
    pool = Pool(output, recipe)
    output.unlink(missing_ok=True)
    write_table(output, SAMPLES, table(SAMPLES, rows), {})
    pool.close(keys(rows))


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "samples" / "1-of-1.parquet"


def held_keys(output: Path, rows: list[dict[str, Any]], recipe: str = RECIPE) -> set[Key]:
    """Return the keys of those rows that the pool has."""
    held = Pool(output, recipe).rows(keys(rows))
    assert all(key_of(row) == key for key, row in held.items())
    return set(held)


def test_an_empty_pool_has_nothing(output: Path) -> None:
    assert held_keys(output, rows(2, 2)) == set()


def test_a_job_with_the_process_number_of_a_killed_one_overwrites_nothing(output: Path) -> None:
    """In a container, every job may be process 1."""
    for saved in (rows(1, 2), rows(2, 2)[2:]):
        Pool(output, RECIPE).save(saved)
    assert held_keys(output, rows(2, 2)) == keys(rows(2, 2))


def test_finished_draws_outlive_their_output(output: Path) -> None:
    finished = rows(2, 2)
    finish(output, finished)
    output.unlink()
    held = Pool(output, RECIPE).rows(keys(finished))
    assert sorted(held.values(), key=repr) == sorted(finished, key=repr)


def test_more_draws_find_the_old_ones(output: Path) -> None:
    finish(output, rows(2, 2))
    assert held_keys(output, rows(2, 5)) == keys(rows(2, 2))


def test_more_problems_find_the_old_ones(output: Path) -> None:
    finish(output, rows(2, 2))
    assert held_keys(output, rows(4, 2)) == keys(rows(2, 2))


def test_fewer_draws_get_no_more_than_they_want(output: Path) -> None:
    finish(output, rows(2, 4))
    assert held_keys(output, rows(2, 1)) == keys(rows(2, 1))


@pytest.mark.parametrize("change", [{"request": "another prompt"}, {"seed": 7}, {"draw": 9}])
def test_another_request_seed_or_number_is_another_draw(
    output: Path, change: dict[str, Any]
) -> None:
    finish(output, [row(0, 0)])
    assert held_keys(output, [{**row(0, 0), **change}]) == set()


def test_another_recipe_finds_nothing(output: Path) -> None:
    finish(output, rows(2, 2))
    assert held_keys(output, rows(2, 2), OTHER) == set()


def test_another_recipe_sweeps_the_old_one_when_it_is_done(output: Path) -> None:
    finish(output, rows(2, 2))
    Pool(output, OTHER).save(rows(1, 1))
    assert held_keys(output, rows(2, 2)) == keys(rows(2, 2))
    finish(output, rows(2, 2), OTHER)
    assert held_keys(output, rows(2, 2)) == set()
    assert held_keys(output, rows(2, 2), OTHER) == keys(rows(2, 2))


def test_an_interruption_keeps_what_was_saved(output: Path) -> None:
    first = Pool(output, RECIPE)
    first.save(rows(1, 2))
    first.save([row(1, 0)])
    assert held_keys(output, rows(2, 2)) == keys([*rows(1, 2), row(1, 0)])


def test_saved_parts_are_swept_once_their_table_is_finished(output: Path) -> None:
    pool = Pool(output, RECIPE)
    pool.save(rows(1, 2))
    pool.save([row(1, 0)])
    write_table(output, SAMPLES, table(SAMPLES, rows(2, 2)), {})
    pool.close(keys(rows(2, 2)))
    files = list((output.parent / HIDDEN / "draws").rglob("*.parquet"))
    assert [file.name for file in files] == [output.name]
    assert files[0].samefile(output)


def test_other_shards_find_what_the_old_ones_drew(output: Path) -> None:
    finish(output, rows(4, 2))
    second = output.with_name("1-of-2.parquet")
    assert held_keys(second, rows(2, 2)) == keys(rows(2, 2))


def test_a_finished_shard_keeps_what_the_others_still_need(output: Path) -> None:
    finish(output, rows(4, 2))
    first, second = (output.with_name(f"{index}-of-2.parquet") for index in (1, 2))
    half = [row for row in rows(4, 2) if row["problem_id"] in ("p0", "p2")]
    rest = [row for row in rows(4, 2) if row["problem_id"] in ("p1", "p3")]
    finish(first, half)
    assert held_keys(second, rest) == keys(rest)
    finish(second, rest)
    assert held_keys(output, rows(4, 2)) == keys(rows(4, 2))


def test_running_shards_do_not_sweep_each_other(output: Path) -> None:
    first, second = (output.with_name(f"{index}-of-2.parquet") for index in (1, 2))
    running = Pool(second, RECIPE)
    running.save([row(1, 0)])
    finish(first, [row(0, 0), row(0, 1)])
    assert held_keys(second, rows(2, 2)) == keys([row(1, 0), row(0, 0), row(0, 1)])


def test_a_damaged_part_counts_for_nothing(output: Path) -> None:
    pool = Pool(output, RECIPE)
    pool.save(rows(1, 2))
    [damaged] = (output.parent / HIDDEN / "draws").rglob("*.parquet")
    pool.save([row(1, 0)])
    damaged.write_bytes(damaged.read_bytes()[:-9])
    assert held_keys(output, rows(2, 2)) == keys([row(1, 0)])
    assert not damaged.exists()


def test_a_table_that_was_edited_in_place_counts_for_nothing(output: Path) -> None:
    """The pool's file is a hard link, so that the edit is in it as well."""
    finish(output, rows(2, 2))
    content = bytearray(output.read_bytes())
    content[40] ^= 0xFF
    with output.open("r+b") as stream:
        stream.write(content)
    assert held_keys(output, rows(2, 2)) == set()


def test_redrawing_less_does_not_forget_what_it_left_out(output: Path) -> None:
    """Raising the number of draws, lowering it and raising it again draws once."""
    finish(output, rows(2, 4))
    finish(output, rows(2, 1))
    assert keys(rows(2, 1)) <= held_keys(output, rows(2, 4))


def test_closing_twice_is_fine(output: Path) -> None:
    finish(output, rows(2, 2))
    Pool(output, RECIPE).close(keys(rows(2, 2)))
    assert held_keys(output, rows(2, 2)) == keys(rows(2, 2))


def test_without_hard_links_the_pool_is_empty_and_all_else_works(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError("no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    finish(output, rows(2, 2))
    assert held_keys(output, rows(2, 2)) == set()
