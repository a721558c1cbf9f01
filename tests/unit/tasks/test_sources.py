import gzip
import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from restem.config.data import EmbeddedSource, Expected, HubSource, LocalSource
from restem.errors import RestemError
from restem.tasks.sources import Reader

ROWS = [{"question": "One?", "answer": "1\u2028"}, {"question": "Two?", "answer": "2"}]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()


def parquet(rows):
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), buffer)
    return buffer.getvalue()


LAYOUTS = {
    "rows.jsonl": LINES,
    "rows.jsonl.gz": gzip.compress(LINES, mtime=0),
    "rows.json": json.dumps(ROWS).encode(),
    "samples.json": json.dumps({"samples": ROWS, "stop": []}).encode(),
    "rows.parquet": parquet(ROWS),
    "rows.yaml": json.dumps(ROWS).encode(),
    "rows.csv": "question,answer\nOne?,1\u2028\nTwo?,2\n".encode(),
}
DIGEST = "1ebbf6856dad9a9a08e7136e9aa8020f21980bdd288dc6ff704c0fa972da4e5c"


def read(directory, content, name="rows.jsonl", **expect):
    (directory / name).write_bytes(content)
    digests = {name: Expected(**expect)} if expect else {}
    return Reader(LocalSource(kind="local", directory=directory), digests).rows(name)


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_gives_the_same_rows(tmp_path, name):
    (tmp_path / name).write_bytes(LAYOUTS[name])
    reader = Reader(LocalSource(kind="local", directory=tmp_path), {})
    assert [row.values for row in reader.rows(name)] == ROWS
    (record,) = reader.records
    assert (record.file, record.rows) == (name, 2)
    assert record.sha256 == DIGEST


@pytest.mark.parametrize("change", [
    lambda text: b"\xef\xbb\xbf" + text, lambda text: text.replace(b"\n", b"\r\n"),
    lambda text: text.replace(b"\n", b"\r"), lambda text: text + b"\n\n", lambda text: text[:-1],
])  # fmt: skip
def test_a_byte_order_mark_and_any_line_end_are_read(tmp_path, change):
    assert [row.values for row in read(tmp_path, change(LINES))] == ROWS


def test_a_file_read_twice_is_recorded_once(tmp_path):
    (tmp_path / "rows.jsonl").write_bytes(LINES)
    reader = Reader(LocalSource(kind="local", directory=tmp_path), {})
    reader.rows("rows.jsonl")
    reader.rows("rows.jsonl")
    assert len(reader.records) == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.jsonl", LINES + b"{broken\n", "rows.jsonl, row 3"),
        ("rows.jsonl", LINES + b"\n" + LINES, "an empty line\n  where: rows.jsonl, row 3"),
        ("rows.jsonl", LINES + b"[1, 2]\n", "is a JSON list, not an object"),
        ("rows.jsonl", b"\xff\xfe", "is not UTF-8"),
        ("rows.jsonl", b"[" * 100_000, "is not JSON"),
        ("rows.jsonl.gz", LAYOUTS["rows.jsonl.gz"][:-12], "not a complete gzip file"),
        ("rows.jsonl.gz", b"no gzip", "not a complete gzip file"),
        ("rows.jsonl.gz", LAYOUTS["rows.jsonl.gz"][:12] + b"????????", "not a complete gzip file"),
        ("rows.json", b'{"rows": []}', "neither a list of rows"),
        ("rows.parquet", LAYOUTS["rows.parquet"][:-20], "not readable Parquet"),
        ("rows.yaml", b"a: [", "is not YAML"),
        ("rows.py", b"def list_fewshot_samples():\n    return make()\n", "is not a module with"),
        ("rows.py", b"def (", "is not a module with"),
        ("rows.py", b"SAMPLES = []", "is not a module with"),
    ],
)
def test_damage_is_named_with_its_place(tmp_path, name, content, message):
    with pytest.raises(RestemError, match=message):
        read(tmp_path, content, name)


def test_an_empty_file_has_no_rows(tmp_path):
    assert read(tmp_path, b"") == []


@pytest.mark.parametrize("missing", ["rows.jsonl", "math/rows.jsonl"])
def test_a_missing_file_or_directory_says_where_it_should_be(tmp_path, missing):
    with pytest.raises(RestemError, match="cannot be read") as error:
        Reader(LocalSource(kind="local", directory=tmp_path), {}).rows(missing)
    assert error.value.where == str(tmp_path / missing)
    assert ("directory" if "/" in missing else "file") in error.value.fix


def test_expected_digest_and_rows_are_checked(tmp_path):
    assert len(read(tmp_path, LINES, sha256=DIGEST, rows=2)) == 2
    assert len(read(tmp_path, LINES, rows=2)) == 2
    with pytest.raises(RestemError, match="not 0000"):
        read(tmp_path, LINES, sha256="0" * 64)
    with pytest.raises(RestemError, match="has 2 rows, not 3"):
        read(tmp_path, LINES, sha256=DIGEST, rows=3)


def test_a_field_that_is_missing_or_no_text_is_named_with_its_row(tmp_path):
    row = read(tmp_path, b'{"question": 5}\n')[0]
    for key, problem in (("question", "not text"), ("answer", "missing")):
        with pytest.raises(RestemError, match=problem) as error:
            row.text(key)
        assert error.value.where == "rows.jsonl, row 1"


def test_an_embedded_source_has_no_files():
    with pytest.raises(RestemError, match="no files"):
        Reader(EmbeddedSource(kind="embedded"), {}).rows("math/train.jsonl.gz")


def test_prompts_of_a_hub_source_come_from_their_own_directory(tmp_path):
    (tmp_path / "shots.json").write_bytes(LAYOUTS["rows.json"])
    source = HubSource(
        kind="hub", id="a/b", revision="0" * 40, files={"test": {"x": None}}, prompts=tmp_path
    )
    assert len(Reader(source, {}).rows("prompts/shots.json")) == 2


def test_only_the_rows_that_are_kept_stay_in_memory_but_all_are_counted(tmp_path):
    (tmp_path / "rows.jsonl").write_bytes(LINES)
    reader = Reader(LocalSource(kind="local", directory=tmp_path), {})
    (row,) = reader.rows("rows.jsonl", keep=lambda values: values["question"] == "Two?")
    assert (row.index, row.where) == (1, "rows.jsonl, row 2")
    assert reader.records[0].rows == 2


def test_rows_are_counted_against_what_the_source_states(tmp_path):
    (tmp_path / "rows.jsonl").write_bytes(LINES)
    source = LocalSource(kind="local", directory=tmp_path, files={"test": {"rows.jsonl": 3}})
    with pytest.raises(RestemError, match="has 2 rows, not 3"):
        Reader(source, {}).rows("rows.jsonl")


def test_an_expected_digest_does_not_replace_the_stated_rows(tmp_path):
    (tmp_path / "rows.jsonl").write_bytes(LINES)
    source = LocalSource(kind="local", directory=tmp_path, files={"test": {"rows.jsonl": 3}})
    with pytest.raises(RestemError, match="has 2 rows, not 3"):
        Reader(source, {"rows.jsonl": Expected(sha256=DIGEST)}).rows("rows.jsonl")


def test_a_csv_is_read_with_its_quotes_and_lines(tmp_path):
    (tmp_path / "rows.csv").write_text('\ufeffQuestion\r\n"Is ""a"", b\nor c?"\r\nWhy?\r\n')
    (first, second) = Reader(LocalSource(kind="local", directory=tmp_path), {}).rows("rows.csv")
    assert first.text("Question") == 'Is "a", b\nor c?'
    assert second.text("Question") == "Why?"
