"""What `restem show` prints of a table: columns where they fit, texts in full, and its origin."""

from pathlib import Path
from typing import Any

from restem.artifacts.schemas.estimates import SUMMARY
from restem.artifacts.schemas.loop import SAMPLES
from restem.artifacts.tables import Kind, table, write_table
from restem.tools.show import show

PLACE = {"task": "chain", "split": "test", "model": "S", "variant": "base", "decoding": "many"}


def write(path: Path, kind: Kind, rows: list[dict[str, Any]], **provenance: Any) -> str:
    write_table(path, kind, table(kind, rows), provenance)
    return show(path, None, None)


def estimates(count: int) -> list[dict[str, Any]]:
    numbers = {"quantity": "pass@1", "problems": 7, "draws": 8, "seeds": 1, "k": 1, "iteration": 0}
    ends = {"low": 0.25, "high": 0.75}
    return [
        PLACE | numbers | ends | {"estimate": i / 3, "seed": None if i == 0 else i}
        for i in range(count)
    ]


def test_rows_of_short_cells_are_lines_under_what_they_share(tmp_path: Path) -> None:
    lines = write(tmp_path / "summary.parquet", SUMMARY, estimates(3)).splitlines()
    assert "task=chain" in lines[2] and "low=0.25" in lines[2] and "estimate" not in lines[2]
    assert [line.split() for line in lines[4:8]] == [
        ["seed", "estimate"], ["–", "0"], ["1", "0.3333"], ["2", "0.6667"]
    ]  # fmt: skip
    assert len({len(line) for line in lines[4:8]} - {len(lines[4])}) <= 1


def test_equal_rows_are_said_once(tmp_path: Path) -> None:
    text = write(tmp_path / "summary.parquet", SUMMARY, estimates(1) * 3)
    assert text.startswith("summary: 3 rows")
    assert text.count("task=chain") == 1 and "\n\n\n" not in text


def test_more_rows_are_shown_where_each_is_a_line(tmp_path: Path) -> None:
    text = write(tmp_path / "summary.parquet", SUMMARY, estimates(80))
    assert "\n49 " in text and "\n50 " not in text
    assert show(tmp_path / "summary.parquet", 3, None).count("0.6667") == 1


def test_texts_are_shown_in_full(tmp_path: Path) -> None:
    row = {"problem_id": "p", "seed": 0, "tokens": 3, "finish_reason": "stop", "request": "r"}
    row |= {"prompt_tokens": 1, "logprob": -1.0}
    rows = [row | {"draw": i, "completion": f"line {i}\nand another"} for i in range(9)]
    text = write(tmp_path / "samples.parquet", SAMPLES, rows)
    assert text.count("    | and another") == 5


def test_inputs_from_elsewhere_share_a_line(tmp_path: Path) -> None:
    digests = ["a" * 64, "b" * 64]
    text = write(tmp_path / "summary.parquet", SUMMARY, estimates(1), inputs={"files": digests})
    assert f"  files, not artifacts of this study: {'a' * 12}, {'b' * 12}\n" in text
    assert write(tmp_path / "empty.parquet", SUMMARY, []).startswith("summary: 0 rows")
