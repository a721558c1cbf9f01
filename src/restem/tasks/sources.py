"""Read the files of a task's source, from a directory or the hub, and check their digests."""

import gzip
import hashlib
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from restem.config.data import DataSource, EmbeddedSource, FileDigest, HubSource, LocalSource
from restem.errors import RestemError

PROMPTS = "prompts/"


@dataclass(frozen=True)
class FileRecord:
    """A file that was read: its name in the source, its number of rows and its digest."""

    file: str
    rows: int
    sha256: str


@dataclass(frozen=True)
class Row:
    """One row of a file; where: the file and the row, from 1, for error messages."""

    where: str
    index: int
    values: Mapping[str, Any]

    def text(self, key: str) -> str:
        """Return a text field. Raises RestemError when it is missing or not text."""
        return text_of(self.values, key, self.where)

    def integer(self, key: str) -> int:
        """Return a number. Raises RestemError when it is missing or not an integer."""
        value = self.values.get(key)
        if isinstance(value, int):
            return value
        raise RestemError(f"field {key!r} is not a number", self.where, "correct the row")


def text_of(fields: Mapping[str, Any], key: str, where: str) -> str:
    """Return a text field. Raises RestemError when it is missing or not text."""
    value = fields.get(key)
    if isinstance(value, str):
        return value
    raise RestemError(
        f"field {key!r} is {'not text' if key in fields else 'missing'}",
        where,
        f"correct it, or name another source; the fields are {', '.join(sorted(fields))}",
    )


class Reader:
    """Reads files of one source and records each."""

    def __init__(self, source: DataSource, expect: Mapping[str, FileDigest]) -> None:
        self.source = source
        self.expect = expect
        self.records: list[FileRecord] = []

    def rows(self, file: str) -> list[Row]:
        """Return the rows of a file of the source.

        Raises RestemError when it cannot be fetched or read, or is not the expected file.
        """
        content = _read_bytes(locate(self.source, file), file)
        digest = hashlib.sha256(content).hexdigest()
        expected = self.expect.get(file)
        if expected and expected.sha256 != digest:
            raise _unexpected(file, f"has sha256 {digest}, not {expected.sha256}")
        rows = [Row(f"{file}, row {i + 1}", i, v) for i, v in enumerate(_parse(content, file))]
        if expected and expected.rows not in (None, len(rows)):
            raise _unexpected(file, f"has {len(rows)} rows, not {expected.rows}")
        record = FileRecord(file, len(rows), digest)
        if record not in self.records:
            self.records.append(record)
        return rows


def locate(source: DataSource, file: str) -> Path:
    """Return the path of a source's file; download a file of the hub that is not cached."""
    if isinstance(source, EmbeddedSource):
        raise RestemError(
            "an embedded source has no files", file, "give this task a local or hub source"
        )
    if isinstance(source, LocalSource):
        return source.directory / file
    if file.startswith(PROMPTS) and source.prompts is not None:
        return source.prompts / file.removeprefix(PROMPTS)
    return _download(source, file)


def _download(source: HubSource, file: str) -> Path:
    # Imported here, because a local study must not need the hub's client.
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(hf_hub_download(source.id, file, repo_type="dataset", revision=source.revision))
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise RestemError(
            f"{file} cannot be downloaded from the hub: {error}",
            f"dataset {source.id} at {source.revision}",
            "check id, revision and network, or use a local source",
        ) from error


def _read_bytes(path: Path, file: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        missing = "directory" if not path.parent.is_dir() else "file"
        raise RestemError(
            f"{file} cannot be read: {error.strerror}",
            str(path),
            f"put the {missing} there, or correct the task's source",
        ) from error


def _parse(content: bytes, file: str) -> Iterator[dict[str, Any]]:
    """Read the rows of a .jsonl.gz, .jsonl, .json or .parquet file."""
    if file.endswith(".parquet"):
        return _parse_parquet(content, file)
    if file.endswith(".gz"):
        content = _decoded(gzip.decompress, content, file, "a complete gzip file")
    text = _decoded(lambda raw: raw.decode("utf-8-sig"), content, file, "UTF-8")
    if file.removesuffix(".gz").endswith(".jsonl"):
        return _parse_lines(text, file)
    return _parse_document(text, file)


def _parse_parquet(content: bytes, file: str) -> Iterator[dict[str, Any]]:
    import pyarrow as pa  # imported here, because it takes half a second; only the hub needs it
    import pyarrow.parquet as pq

    try:
        # Not read_table, and without threads: when Arrow reads no path, its threads may outlive
        # the call, and a process that ends right afterwards may abort (apache/arrow issue 33975).
        table = pq.ParquetFile(pa.BufferReader(content), pre_buffer=False).read(use_threads=False)
        rows: list[dict[str, Any]] = table.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise _damaged(file, f"is not readable Parquet: {error}") from error
    yield from rows


def _parse_lines(text: str, file: str) -> Iterator[dict[str, Any]]:
    # Not splitlines(), because JSON may contain U+2028 and the like unescaped.
    text = text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n")
    for number, line in enumerate(text.split("\n") if text else [], start=1):
        where = f"{file}, row {number}"
        yield _as_row(_decoded(json.loads, line, where, "JSON"), where)


def _parse_document(text: str, file: str) -> Iterator[dict[str, Any]]:
    """Read a JSON list of rows, or an object with such a list under `samples` or `examples`.

    An object of such objects gives the rows of all of them, each with `name` and `description`.
    """
    document = _decoded(json.loads, text, file, "JSON")
    rows = _rows_of(document) if isinstance(document, dict) else document
    if not isinstance(rows, list):
        raise _damaged(file, "is neither a list of rows nor an object with a list `samples`")
    for number, row in enumerate(rows, start=1):
        yield _as_row(row, f"{file}, row {number}")


def _rows_of(document: dict[str, Any]) -> Any:
    for key in ("samples", "examples"):
        if key in document:
            return document[key]
    parts = document.items()
    if not parts or not all(isinstance(part, dict) and "samples" in part for _, part in parts):
        return None
    return [
        {"name": name, "description": part.get("description", ""), **row}
        for name, part in parts
        for row in part["samples"]
    ]


def _as_row(value: Any, where: str) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    raise _damaged(where, f"is a JSON {type(value).__name__}, not an object")


def _decoded(decode: Callable[[Any], Any], content: bytes | str, where: str, what: str) -> Any:
    try:
        return decode(content)
    except (ValueError, RecursionError, OSError, EOFError, zlib.error) as error:
        raise _damaged(where, f"is not {what}: {error}") from error


def _damaged(where: str, what: str) -> RestemError:
    return RestemError(f"the data {what}", where, "fetch the file again, or correct it")


def _unexpected(file: str, what: str) -> RestemError:
    return RestemError(
        f"the file {what}", file, "fetch the file that the study expects, or correct `expect`"
    )
