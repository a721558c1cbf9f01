"""Tables are read as they were written; anything else is refused with the file's name."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restem.artifacts import tables
from restem.artifacts.schemas.estimates import BREAKDOWN, CLAIMS, LIFTS, SUMMARY
from restem.artifacts.schemas.evaluation import METRICS
from restem.artifacts.schemas.every import KINDS
from restem.artifacts.schemas.loop import EXAMPLES, PROBLEMS, REWARDS, SAMPLES
from restem.artifacts.tables import (
    Kind,
    content_digest,
    read_provenance,
    read_rows,
    read_table,
    table,
    write_parts,
    write_table,
)
from restem.errors import RestemError

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Return cells of an Arrow type, including those that are easily confused."""
    if pa.types.is_list(kind):
        return st.lists(st.fixed_dictionaries({"source": text, "text": text}), max_size=3)
    if pa.types.is_string(kind):
        return text
    if pa.types.is_floating(kind):
        return st.floats(allow_nan=False, allow_infinity=False) | st.just(-0.0)
    if pa.types.is_boolean(kind):
        return st.booleans()
    return st.integers(-(2**31), 2**31 - 1) | st.just(0)


def rows_of(kind: Kind, **sizes: int) -> st.SearchStrategy[list[dict[str, Any]]]:
    cells = {
        f.name: values(f.type) | st.none() if f.nullable else values(f.type) for f in kind.schema
    }
    return st.lists(st.fixed_dictionaries(cells), **sizes)


def example(kind: Kind, count: int = 3) -> list[dict[str, Any]]:
    """Return fixed rows of a kind."""

    def cell(field: Any, row: int) -> Any:
        if pa.types.is_list(field.type):
            return [{"source": "human", "text": f"solution {i}"} for i in range(row)]
        if pa.types.is_boolean(field.type):
            return row % 2 == 1
        return f"{field.name} {row}" if pa.types.is_string(field.type) else row

    return [{field.name: cell(field, row) for field in kind.schema} for row in range(count)]


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_every_kind_comes_back_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, kind: Kind, data: Any
) -> None:
    path = tmp_path_factory.mktemp("tables") / "a.parquet"
    rows = data.draw(rows_of(kind, max_size=4))
    write_table(path, kind, table(kind, rows), {"note": "é"})
    assert read_rows(path, kind) == rows
    assert read_provenance(path)["note"] == "é"


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_an_empty_table_comes_back_with_its_schema(tmp_path: Path, kind: Kind) -> None:
    path = tmp_path / "empty.parquet"
    write_table(path, kind, table(kind, []), {})
    assert read_table(path, kind).schema.equals(kind.schema)
    assert read_rows(path, kind) == []


@settings(max_examples=60, deadline=None)
@given(rows=rows_of(PROBLEMS, min_size=1, max_size=6), cut=st.integers(0, 6))
def test_the_content_digest_ignores_the_layout(rows: list[dict[str, Any]], cut: int) -> None:
    whole = table(PROBLEMS, rows)
    expected = content_digest(whole)
    chunked = pa.concat_tables([whole.slice(0, cut), whole.slice(cut)])
    padded = table(PROBLEMS, [*example(PROBLEMS), *rows, *example(PROBLEMS)])
    sink = pa.BufferOutputStream()
    pq.write_table(whole, sink, row_group_size=2)
    assert content_digest(chunked) == expected
    assert content_digest(padded.slice(3, len(rows))) == expected
    assert content_digest(pq.read_table(pa.BufferReader(sink.getvalue()))) == expected
    assert content_digest(table(PROBLEMS, rows)) == expected


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_the_content_digest_changes_with_any_cell(kind: Kind, data: Any) -> None:
    rows = data.draw(rows_of(kind, min_size=1, max_size=4))
    row = data.draw(st.integers(0, len(rows) - 1))
    field = data.draw(st.sampled_from(list(kind.schema)))
    cells = values(field.type) | st.none() if field.nullable else values(field.type)
    other = data.draw(cells.filter(lambda value: value != rows[row][field.name]))
    changed = [dict(r) for r in rows]
    changed[row][field.name] = other
    assert content_digest(table(kind, changed)) != content_digest(table(kind, rows))


@settings(max_examples=40, deadline=None)
@given(rows=rows_of(REWARDS, min_size=2, max_size=5, unique_by=lambda row: row["draw"]))
def test_the_content_digest_changes_with_order_and_number_of_rows(
    rows: list[dict[str, Any]],
) -> None:
    digest = content_digest(table(REWARDS, rows))
    assert content_digest(table(REWARDS, rows[::-1])) != digest
    assert content_digest(table(REWARDS, rows[:-1])) != digest
    assert content_digest(table(REWARDS, [*rows, rows[-1]])) != digest


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (["ab", ""], ["a", "b"]),
        ([None, "a"], ["a", None]),
        ([None], [""]),
        (["é"], ["e\u0301"]),
    ],
)
def test_strings_that_join_alike_differ(left: list[Any], right: list[Any]) -> None:
    def digest(answers: list[Any]) -> str:
        rows = [{**row, "answer": a} for row, a in zip(example(PROBLEMS), answers, strict=False)]
        return content_digest(table(PROBLEMS, rows))

    assert digest(left) != digest(right)


def test_solutions_of_different_problems_are_not_confused() -> None:
    def digest(*counts: int) -> str:
        solutions = [[{"source": "s", "text": "t"}] * count for count in counts]
        pairs = zip(example(PROBLEMS, len(counts)), solutions, strict=True)
        return content_digest(table(PROBLEMS, [{**row, "solutions": s} for row, s in pairs]))

    assert len({digest(2, 0), digest(1, 1), digest(0, 2)}) == 3


def test_column_names_are_content() -> None:
    assert content_digest(pa.table({"a": [1]})) != content_digest(pa.table({"b": [1]}))


def test_provenance_is_not_content(tmp_path: Path) -> None:
    content = table(REWARDS, example(REWARDS))
    write_table(tmp_path / "a", REWARDS, content, {"seconds": 1})
    write_table(tmp_path / "b", REWARDS, content, {"seconds": 2})
    first, second = (read_provenance(tmp_path / name) for name in "ab")
    assert first["content"] == second["content"] == content_digest(content)
    assert (first["seconds"], second["seconds"]) == (1, 2)


# ---- refusals ----


def refused(path: Path, kind: Kind = REWARDS) -> str:
    with pytest.raises(RestemError) as caught:
        read_table(path, kind)
    assert str(path) in caught.value.where
    assert caught.value.fix
    return caught.value.what


def written(folder: Path, kind: Kind = REWARDS) -> Path:
    path = folder / f"{kind.name}.parquet"
    write_table(path, kind, table(kind, example(kind)), {})
    return path


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert "missing" in refused(tmp_path / "none.parquet")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_a_truncated_file_is_refused(tmp_path: Path, share: float) -> None:
    path = written(tmp_path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    assert "damaged" in refused(path)
    with pytest.raises(RestemError, match="damaged"):
        read_provenance(path)


def test_a_file_that_restem_did_not_write_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "foreign.parquet"
    pq.write_table(table(REWARDS, example(REWARDS)), path)
    assert "no provenance" in refused(path)


def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "text.parquet"
    path.write_text("not a table at all, but long enough to look for a footer")
    assert "damaged" in refused(path)


@pytest.mark.parametrize("metadata", [b"not json", b"[]", b"7", b"{}"])
def test_unreadable_provenance_is_refused(tmp_path: Path, metadata: bytes) -> None:
    path = tmp_path / "odd.parquet"
    content = table(REWARDS, example(REWARDS)).replace_schema_metadata({b"restem": metadata})
    pq.write_table(content, path)
    refused(path)


def test_a_table_of_another_kind_is_refused_by_its_name(tmp_path: Path) -> None:
    assert "'rewards'" in refused(written(tmp_path), SAMPLES)


def test_a_table_of_another_version_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path)
    monkeypatch.setattr(tables, "SCHEMA_VERSION", 2)
    assert "version 1" in refused(path)


def rewritten(path: Path, change: Any) -> Path:
    """Change a table's columns, and keep its provenance."""
    content = pq.read_table(path, partitioning=None)
    metadata = content.schema.metadata
    pq.write_table(change(content).replace_schema_metadata(metadata), path)
    return path


def test_a_table_with_other_columns_is_refused(tmp_path: Path) -> None:
    path = rewritten(written(tmp_path), lambda t: t.drop_columns(["layer"]))
    assert "columns differ" in refused(path)
    path = rewritten(written(tmp_path), lambda t: t.append_column("extra", [[1, 2, 3]]))
    assert "columns differ" in refused(path)


def test_an_edited_table_is_refused(tmp_path: Path) -> None:
    def all_correct(content: Any) -> Any:
        place = content.schema.get_field_index("reward")
        return content.set_column(place, content.schema.field(place), [[1.0, 1.0, 1.0]])

    assert "rows are not those" in refused(rewritten(written(tmp_path), all_correct))


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_some_columns_are_those_of_the_whole_table(
    kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "_ROWS_AT_ONCE", 2)  # of five: several pieces
    path = tmp_path / "a.parquet"
    write_table(path, kind, table(kind, example(kind, 5)), {})
    rows, names = read_rows(path, kind), kind.schema.names[::2]
    assert read_rows(path, kind, names) == [{name: row[name] for name in names} for row in rows]


@pytest.mark.parametrize("column", ["completion", "tokens", "stop_reason"])
def test_an_edit_in_a_column_that_is_not_read_is_noticed(
    column: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "_ROWS_AT_ONCE", 2)
    path, rows = tmp_path / "a.parquet", example(SAMPLES, 5)
    write_table(path, SAMPLES, table(SAMPLES, rows), {})
    written = pq.read_table(path)
    place = written.schema.get_field_index(column)
    cells = written[column].to_pylist()
    edited = pa.array([*cells[:4], cells[0]], written.schema.field(column).type)
    pq.write_table(written.set_column(place, written.schema.field(column), edited), path)
    with pytest.raises(RestemError, match="not those that were written"):
        read_table(path, SAMPLES, ["problem_id", "draw"])


def test_a_shortened_table_is_refused(tmp_path: Path) -> None:
    path = rewritten(written(tmp_path), lambda content: content.slice(0, 2))
    assert "rows are not those" in refused(path)


@pytest.mark.parametrize(
    "row",
    [{}, {"problem_id": None}, {"draw": "first"}, {"draw": 2**40}, {"reward": "much"}],
    ids=["nothing", "null", "text for a number", "too large", "text for a share"],
)
def test_a_row_that_does_not_fit_is_refused(row: dict[str, Any]) -> None:
    with pytest.raises(RestemError):
        table(REWARDS, [example(REWARDS, 1)[0] | row if row else {}])


def test_a_null_is_named_by_its_column_and_row() -> None:
    rows = example(REWARDS)
    rows[1]["verdict"] = None
    with pytest.raises(RestemError) as caught:
        table(REWARDS, rows)
    assert "verdict" in caught.value.what
    assert "row 1" in caught.value.where


# ---- writing ----


def test_a_failing_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path)
    before = path.read_bytes()

    def half_written(content: Any, where: Path, **_: Any) -> None:
        Path(where).write_bytes(b"PAR1 half")
        raise OSError("disk full")

    monkeypatch.setattr(pq, "write_table", half_written)
    with pytest.raises(OSError, match="disk full"):
        write_table(path, REWARDS, table(REWARDS, []), {})
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_new_table_appears_only_when_it_is_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "new" / "a.parquet"
    synced = []

    def sync(descriptor: int) -> None:
        assert not path.exists()
        synced.append(os.fstat(descriptor).st_size)

    monkeypatch.setattr(os, "fsync", sync)
    write_table(path, REWARDS, table(REWARDS, example(REWARDS)), {})
    assert synced == [path.stat().st_size]


def test_equal_rows_make_equal_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "a.parquet", tmp_path / "b.parquet"
    for path in (first, second):
        write_table(path, SAMPLES, table(SAMPLES, example(SAMPLES)), {"b": 1, "a": 2})
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize(
    "kind",
    [
        k
        for k in KINDS.values()
        if k in (SAMPLES, REWARDS, EXAMPLES, METRICS, SUMMARY, LIFTS, BREAKDOWN, CLAIMS)
    ],
)
def test_numbers_that_are_none_are_refused_with_their_row(kind: Kind, value: float) -> None:
    floats = [f.name for f in kind.schema if pa.types.is_floating(f.type)]
    assert floats
    for name in floats:
        rows = [row | ({"greedy": True} if "greedy" in row else {}) for row in example(kind)]
        rows[1][name] = value
        with pytest.raises(RestemError, match=f"{name} is {value}") as caught:
            table(kind, rows)
        assert " 1" in caught.value.where


@settings(max_examples=20, deadline=None)
@given(rows=rows_of(EXAMPLES, min_size=1, max_size=9), cuts=st.lists(st.integers(0, 9)))
def test_a_table_in_parts_has_the_bytes_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], cuts: list[int]
) -> None:
    whole, divided = (tmp_path_factory.mktemp("parts") / name for name in ("whole", "divided"))
    ends = sorted(min(cut, len(rows)) for cut in cuts)
    counts = {"parts": 0}

    def parts() -> Iterator[pa.Table]:
        for start, end in zip([0, *ends], [*ends, len(rows)], strict=True):
            counts["parts"] += 1
            yield table(EXAMPLES, rows[start:end])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "_ROWS_AT_ONCE", 2)
        write_parts(divided, EXAMPLES, parts(), {"counts": counts})
        write_table(whole, EXAMPLES, table(EXAMPLES, rows), {"counts": counts})
    assert divided.read_bytes() == whole.read_bytes()
    assert read_provenance(divided)["counts"] == {"parts": len(ends) + 1}


def test_parts_that_fail_leave_the_old_table(tmp_path: Path) -> None:
    path = written(tmp_path, EXAMPLES)
    before = path.read_bytes()

    def parts() -> Iterator[pa.Table]:
        yield table(EXAMPLES, example(EXAMPLES))
        raise RestemError("a shard is damaged", "shard 2", "make it again")

    with pytest.raises(RestemError, match="a shard is damaged"):
        write_parts(path, EXAMPLES, parts(), {})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
