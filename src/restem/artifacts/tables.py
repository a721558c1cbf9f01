"""Artifacts that are tables: checked when read, written atomically; columns: see `schemas`.

Every table is one Parquet file. Its metadata has a key `restem` with the provenance as JSON. The
content digest covers the rows but not the provenance: two runs that make the same rows make the
same artifact.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from restem.errors import RestemError

SCHEMA_VERSION = 1
_ROWS_AT_ONCE: Final = 65_536  # of a table that is read piece by piece
_POOL = pa.default_memory_pool()
TEXT, INT, LONG, FLOAT = pa.string(), pa.int32(), pa.int64(), pa.float64()


class Kind(NamedTuple):
    """A kind of table: its name and its columns, each of which may be required."""

    name: str
    schema: pa.Schema

    @classmethod
    def of(
        cls, name: str, required: Mapping[str, Any], optional: Mapping[str, Any] | None = None
    ) -> "Kind":
        """Make a kind from types by column: of those that are required, then of the others."""
        fields = [pa.field(column, of, nullable=False) for column, of in required.items()]
        fields += [pa.field(column, of) for column, of in (optional or {}).items()]
        return cls(name, pa.schema(fields))


def table(kind: Kind, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Build a table of one kind. Raises RestemError if a cell is missing or of the wrong type."""
    try:
        content = pa.Table.from_pylist(list(rows), schema=kind.schema)
        content.validate(full=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as problem:
        raise RestemError(
            f"a row does not fit the schema of {kind.name}",
            str(problem),
            "this is a bug; report it",
        ) from problem
    _refuse_nulls(content, kind, f"new {kind.name} table")
    _refuse_non_finite(content, kind)
    return content


def write_table(path: Path, kind: Kind, content: pa.Table, provenance: Mapping[str, Any]) -> None:
    """Write a table with its provenance, atomically."""
    metadata = _metadata(kind, content_digest(content), provenance)
    with replace_atomically(path) as temporary:
        pq.write_table(
            content.replace_schema_metadata(metadata), temporary,
            compression="zstd", row_group_size=_ROWS_AT_ONCE,
        )  # fmt: skip


def write_parts(
    path: Path, kind: Kind, parts: Iterable[pa.Table], provenance: Mapping[str, Any]
) -> None:
    """Write a table as `write_table` does, with one of its parts in memory at a time.

    The provenance is read after the last part, so it may hold counts that the parts add to. It has
    a digest of whole columns; therefore the parts are first written to a file without a name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=path.parent) as unnamed:
        with pq.ParquetWriter(unnamed, kind.schema, compression="zstd") as writer:
            for part in parts:
                writer.write_table(part, row_group_size=_ROWS_AT_ONCE)
                _POOL.release_unused()  # freed memory would stay with the allocator, more each time
        unnamed.seek(0)
        with pq.ParquetFile(unnamed) as file:
            digest = _digest_of(partial(_chunks, file), kind.schema)
            schema = kind.schema.with_metadata(_metadata(kind, digest, provenance))
            with (
                replace_atomically(path) as temporary,
                pq.ParquetWriter(temporary, schema, compression="zstd") as writer,
            ):
                for batch in _batches(file):
                    writer.write_batch(batch)


def _metadata(kind: Kind, digest: str, provenance: Mapping[str, Any]) -> dict[str, str]:
    meta = {"schema": kind.name, "version": SCHEMA_VERSION, "content": digest}
    return {"restem": json.dumps({**meta, **provenance}, sort_keys=True)}


def _chunks(file: pq.ParquetFile, column: str) -> Iterator[pa.Array]:
    """Yield a column of a file, piece by piece."""
    for batch in _batches(file, [column]):
        yield batch.column(0)


def _batches(file: pq.ParquetFile, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    for batch in file.iter_batches(_ROWS_AT_ONCE, columns=columns):
        yield batch
        _POOL.release_unused()


@contextmanager
def replace_atomically(path: Path) -> Iterator[Path]:
    """Let the body write a temporary file, then sync it to disk and rename it to its final name.

    Nobody sees half a file: if the body fails, the old one stays. Missing folders are made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_table(path: Path, kind: Kind, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a table of one kind, or some of its columns; memory is taken for these only.

    All columns are checked. Raises RestemError if the table is missing, damaged or another kind.
    """
    if not path.is_file():
        raise RestemError("the table is missing", str(path), "run the rule that makes it")
    try:
        with pq.ParquetFile(path) as file:
            return _checked(file, path, kind, columns)
    except (pa.ArrowInvalid, OSError) as problem:
        raise _damaged(path, str(problem)) from problem


def read_rows(path: Path, kind: Kind, columns: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Read a table of one kind, or some of its columns, as a list of rows."""
    rows: list[dict[str, Any]] = read_table(path, kind, columns).to_pylist()
    return rows


def _checked(
    file: pq.ParquetFile, path: Path, kind: Kind, columns: Sequence[str] | None
) -> pa.Table:
    meta = _provenance(file.schema_arrow.metadata, path)
    if meta.get("schema") != kind.name or meta.get("version") != SCHEMA_VERSION:
        raise RestemError(
            f"this is not a {kind.name} table of version {SCHEMA_VERSION} but "
            f"{meta.get('schema')!r} version {meta.get('version')!r}",
            str(path),
            "pass the file that the rule names, or delete it and let the workflow make it again",
        )
    schema = file.schema_arrow.remove_metadata()
    if not schema.equals(kind.schema):
        raise _damaged(path, f"its columns differ from the schema of {kind.name}: {schema}")
    content = file.read(columns).replace_schema_metadata(None)

    _refuse_nulls(content, kind, str(path))

    def chunks_of(name: str) -> Iterator[pa.Array]:
        if name in content.schema.names:
            yield from content[name].chunks
        else:
            yield from _chunks(file, name)

    if _digest_of(chunks_of, kind.schema) != meta.get("content"):
        raise _damaged(path, "its rows are not those that were written")
    return content


def read_provenance(path: Path) -> dict[str, Any]:
    """Return what a table records about its origin, from its metadata alone."""
    try:
        return _provenance(pq.read_schema(path).metadata, path)
    except (pa.ArrowInvalid, OSError) as problem:
        raise _damaged(path, str(problem)) from problem


def content_digest(content: pa.Table) -> str:
    """Return the sha256 of a table's column names and values, independent of its memory layout."""
    return _digest_of(lambda name: content[name].chunks, content.schema)


def _digest_of(chunks_of: Callable[[str], Iterable[pa.Array]], schema: pa.Schema) -> str:
    """Return the sha256 of columns that are read piece by piece, texts twice."""
    hasher = hashlib.sha256(json.dumps(schema.names).encode())
    for field in schema:
        _update(hasher, partial(chunks_of, field.name), field.type)
    return hasher.hexdigest()


def _update(hasher: Any, chunks: Callable[[], Iterable[pa.Array]], kind: pa.DataType) -> None:
    """Hash which values are missing, then lengths and contents, level by level."""
    if pa.types.is_list(kind):
        parts = list(chunks())
        _update_each(hasher, parts, pa.Array.is_null)
        _update_each(hasher, parts, lambda chunk: chunk.value_lengths().fill_null(0))
        _update(hasher, lambda: [chunk.flatten() for chunk in parts], kind.value_type)
    elif pa.types.is_struct(kind):
        parts = list(chunks())
        _update_each(hasher, parts, pa.Array.is_null)
        members = zip(*(chunk.flatten() for chunk in parts), strict=True)
        for field, member in zip(kind, members, strict=False):
            _update(hasher, partial(list, member), field.type)
    elif pa.types.is_string(kind):
        lengths = []
        for chunk in chunks():
            hasher.update(_bytes(chunk.is_null()))
            lengths.append(_bytes(pc.binary_length(chunk.fill_null(""))))
        hasher.update(b"".join(lengths))
        for chunk in chunks():
            hasher.update(_text_bytes(chunk.fill_null("")))
    else:
        values = []
        for chunk in chunks():
            hasher.update(_bytes(chunk.is_null()))
            numbers = chunk.cast(pa.int8()) if pa.types.is_boolean(kind) else chunk
            values.append(_bytes(numbers.fill_null(0)))
        hasher.update(b"".join(values))


def _update_each(
    hasher: Any, chunks: Iterable[pa.Array], of: Callable[[pa.Array], pa.Array]
) -> None:
    for chunk in chunks:
        hasher.update(_bytes(of(chunk)))


def _bytes(values: pa.Array) -> bytes:
    content: bytes = values.to_numpy(zero_copy_only=False).tobytes()
    return content


def _text_bytes(values: pa.StringArray) -> memoryview | bytes:
    """Return the texts of an array, one after the other, without a copy."""
    if not len(values):
        return b""
    _, offsets, content = values.buffers()
    ends = np.frombuffer(offsets, dtype=np.int32)[values.offset : values.offset + len(values) + 1]
    return memoryview(content or b"")[ends[0] : ends[-1]]


def _provenance(metadata: Mapping[bytes, bytes] | None, path: Path) -> dict[str, Any]:
    if not metadata or b"restem" not in metadata:
        raise _damaged(path, "it has no provenance, so restem did not write it")
    try:
        stored = json.loads(metadata[b"restem"])
    except ValueError as problem:
        raise _damaged(path, f"its provenance is not JSON: {problem}") from problem
    if not isinstance(stored, dict):
        raise _damaged(path, "its provenance is not an object")
    return stored


def _refuse_nulls(content: pa.Table, kind: Kind, where: str) -> None:
    for field in kind.schema:
        required = not field.nullable and field.name in content.schema.names
        if required and content[field.name].null_count:
            row = content[field.name].is_null().to_pylist().index(True)
            raise RestemError(
                f"a required cell in column {field.name!r} of a {kind.name} table is empty",
                f"{where}, row {row}",
                "delete the file and let the workflow make it again",
            )


def _refuse_non_finite(content: pa.Table, kind: Kind) -> None:
    """Refuse numbers that are none, as a broken model or an empty average gives them."""
    for field in kind.schema:
        if not pa.types.is_floating(field.type):
            continue
        broken = pc.invert(pc.is_finite(content[field.name].fill_null(0.0)))
        if pc.any(broken).as_py():
            row = content.slice(broken.to_pylist().index(True), 1).to_pylist()[0]
            named = (
                f"{k} {v}" for k, v in row.items() if isinstance(v, str | int) and len(str(v)) < 80
            )
            raise RestemError(
                f"{field.name} is {row[field.name]}",
                f"new {kind.name} table, row of {', '.join(named)}",
                "look for a damaged model or sheet of points among its inputs; if all are right, "
                "this is a bug: report it",
            )


def _damaged(path: Path, problem: str) -> RestemError:
    return RestemError(
        f"the table is damaged: {problem}",
        str(path),
        "run snakemake again: it makes a changed file again",
    )
