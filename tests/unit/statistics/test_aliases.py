"""Results under several names: complete, and not all in memory at once."""

from pathlib import Path
from typing import Any

import pytest

from restem.artifacts.schemas.evaluation import METRICS
from restem.artifacts.tables import table, write_table
from restem.errors import RestemError
from restem.statistics.aliases import all_rows, repeat


def row(variant: str, seed: int = 0) -> dict[str, Any]:
    return {"model": "S", "variant": variant, "seed": seed, "iteration": 1, "correct": seed}


def name(variant: str, seed: int = 0) -> dict[str, Any]:
    return {"model": "S", "variant": variant, "seed": seed, "iteration": 1}


def test_rows_appear_under_each_of_their_names_and_no_other() -> None:
    rows = [row("a"), row("a", 1), row("b")]
    found = list(
        repeat([(name("a"), name("c")), (name("a"), name("d")), (name("x"), name("y"))], rows)
    )
    assert sorted((r["variant"], r["seed"], r["correct"]) for r in found) == [
        ("a", 0, 0), ("a", 1, 1), ("b", 0, 0), ("c", 0, 0), ("d", 0, 0),
    ]  # fmt: skip


def test_a_file_is_read_when_its_rows_are_wanted(tmp_path: Path) -> None:
    content = row("a") | {"task": "t", "split": "test", "decoding": "d", "greedy": True}
    content |= {"problem_id": "p", "subject": "", "draws": 1, "unextractable": 0}
    rows = [content | {"completion_tokens_mean": 1.0}]
    write_table(tmp_path / "here", METRICS, table(METRICS, rows), {})
    found = all_rows([], [tmp_path / "here", tmp_path / "missing"])
    assert next(found)["problem_id"] == "p"
    with pytest.raises(RestemError, match="missing"):
        next(found)
