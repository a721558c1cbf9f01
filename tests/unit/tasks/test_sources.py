import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from restem.config.data import EmbeddedSource, FileDigest, HubSource, LocalSource
from restem.errors import RestemError
from restem.tasks.sources import Reader

ROWS = [{"question": "One?", "answer": "1\u2028"}, {"question": "Two?", "answer": "2"}]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()
REVISION = "0123456789" * 4


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
}


def read(directory, content, name="rows.jsonl", **expect):
    (directory / name).write_bytes(content)
    digests = {name: FileDigest(**expect)} if expect else {}
    return Reader(LocalSource(kind="local", directory=directory), digests).rows(name)


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_gives_the_same_rows(tmp_path, name):
    (tmp_path / name).write_bytes(LAYOUTS[name])
    reader = Reader(LocalSource(kind="local", directory=tmp_path), {})
    assert [row.values for row in reader.rows(name)] == ROWS
    (record,) = reader.records
    assert (record.file, record.rows) == (name, 2)
    assert record.sha256 == hashlib.sha256(LAYOUTS[name]).hexdigest()


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
        ("rows.jsonl", LINES + b"\n" + LINES, "rows.jsonl, row 3"),
        ("rows.jsonl", LINES + b"[1, 2]\n", "is a JSON list, not an object"),
        ("rows.jsonl", b"\xff\xfe", "is not UTF-8"),
        ("rows.jsonl", b"[" * 100_000, "is not JSON"),
        ("rows.jsonl.gz", LAYOUTS["rows.jsonl.gz"][:-12], "not a complete gzip file"),
        ("rows.jsonl.gz", b"no gzip", "not a complete gzip file"),
        ("rows.jsonl.gz", LAYOUTS["rows.jsonl.gz"][:12] + b"????????", "not a complete gzip file"),
        ("rows.json", b'{"rows": []}', "neither a list of rows"),
        ("rows.parquet", LAYOUTS["rows.parquet"][:-20], "not readable Parquet"),
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
    digest = hashlib.sha256(LINES).hexdigest()
    assert len(read(tmp_path, LINES, sha256=digest, rows=2)) == 2
    with pytest.raises(RestemError, match="not 0000"):
        read(tmp_path, LINES, sha256="0" * 64)
    with pytest.raises(RestemError, match="has 2 rows, not 3"):
        read(tmp_path, LINES, sha256=digest, rows=3)


def test_a_field_that_is_missing_or_no_text_is_named_with_its_row(tmp_path):
    row = read(tmp_path, b'{"question": 5}\n')[0]
    for key, problem in (("question", "not text"), ("answer", "missing")):
        with pytest.raises(RestemError, match=problem) as error:
            row.text(key)
        assert error.value.where == "rows.jsonl, row 1"


def test_an_embedded_source_has_no_files():
    with pytest.raises(RestemError, match="no files"):
        Reader(EmbeddedSource(kind="embedded"), {}).rows("math/train.jsonl.gz")


class Hub(BaseHTTPRequestHandler):
    """Answer as the hub's resolve endpoint does, for one dataset at one revision."""

    folder = f"/datasets/made-up/dataset/resolve/{REVISION}/main/"

    def do_HEAD(self):
        content = LAYOUTS.get(self.path.removeprefix(self.folder))
        self.send_response(404 if content is None else 200)
        if content is None:
            self.send_header("X-Error-Code", "EntryNotFound")
            content = b""
        self.send_header("X-Repo-Commit", REVISION)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        return content

    def do_GET(self):
        self.wfile.write(self.do_HEAD())

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    home = str(tmp_path_factory.mktemp("hub"))
    endpoint = f"http://127.0.0.1:{server.server_port}"
    online = {"HF_HUB_OFFLINE": "0", "NO_PROXY": "127.0.0.1"}
    yield {"HF_ENDPOINT": endpoint, "HF_HOME": home, **online}
    server.shutdown()
    thread.join()
    server.server_close()


READ_FROM_HUB = f"""
import sys
from restem.config.data import HubSource
from restem.errors import RestemError
from restem.tasks.sources import Reader
source = HubSource(kind="hub", id="made-up/dataset", revision="{REVISION}")
try:
    print([dict(row.values) for row in Reader(source, {{}}).rows(sys.argv[1])])
except RestemError as error:
    print(error)
"""


def read_from_hub(hub, file):
    """Read in a process of its own: the hub's client reads its settings once, on import."""
    source = str(Path(__file__).parents[3] / "src")
    environment = {**os.environ, **hub, "PYTHONPATH": source}
    command = [sys.executable, "-c", READ_FROM_HUB, file]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_hub_is_read_at_the_pinned_revision_and_then_from_the_cache(hub):
    assert read_from_hub(hub, "main/rows.parquet") == str(ROWS)
    offline = {**hub, "HF_HUB_OFFLINE": "1"}
    assert read_from_hub(offline, "main/rows.parquet") == str(ROWS)


def test_a_file_that_the_hub_does_not_have_is_an_error_with_the_dataset(hub):
    message = read_from_hub(hub, "main/other.parquet")
    assert "main/other.parquet cannot be downloaded from the hub" in message
    assert f"dataset made-up/dataset at {REVISION}" in message


def test_prompts_of_a_hub_source_come_from_their_own_directory(tmp_path):
    (tmp_path / "shots.json").write_bytes(LAYOUTS["rows.json"])
    source = HubSource(kind="hub", id="made-up/dataset", revision=REVISION, prompts=tmp_path)
    assert len(Reader(source, {}).rows("prompts/shots.json")) == 2
