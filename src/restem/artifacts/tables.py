"""The schemas of the artifacts that are tables: read with checks, write atomically.

Every table is one Parquet file. Its metadata key `restem` holds the provenance as JSON; the
content digest of a table covers its rows and leaves the provenance out, so that two runs that
made the same rows have made the same artifact.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from restem.errors import RestemError

SCHEMA_VERSION = 1
KEPT = "kept"  # the decision of an example that is trained on

_solutions = pa.list_(pa.struct([("source", pa.string()), ("text", pa.string())]))


def _schema(required: Sequence[tuple[str, Any]], optional: Sequence[tuple[str, Any]] = ()) -> Any:
    fields = [pa.field(name, kind, nullable=False) for name, kind in required]
    return pa.schema([*fields, *(pa.field(name, kind) for name, kind in optional)])


_address = [
    ("task", pa.string()),
    ("split", pa.string()),
    ("model", pa.string()),
    ("variant", pa.string()),
    ("iteration", pa.int32()),
    ("decoding", pa.string()),
]

_cost = [
    *((name, pa.int64()) for name in ("draws", "prompt_tokens", "cached_tokens")),
    *((name, pa.int64()) for name in ("generated_tokens", "trained_tokens")),
    *((name, pa.float64()) for name in ("flops", "seconds", "cpu_seconds", "gpu_seconds")),
]
SCHEMAS: dict[str, Any] = {
    "problems": _schema(
        [("id", pa.string()), ("question", pa.string()), ("subject", pa.string())]
        + [("solutions", _solutions)],
        [("answer", pa.string()), ("level", pa.int32())],
    ),
    "overlap": _schema(
        [("left_task", pa.string()), ("left_split", pa.string()), ("left_id", pa.string())]
        + [("right_task", pa.string()), ("right_split", pa.string()), ("right_id", pa.string())]
        + [("kind", pa.string()), ("score", pa.float64())],
    ),
    "samples": _schema(
        [("problem_id", pa.string()), ("draw", pa.int32()), ("seed", pa.int64())]
        + [("completion", pa.string()), ("tokens", pa.int32()), ("prompt_tokens", pa.int32())]
        + [("finish_reason", pa.string()), ("logprob", pa.float64()), ("request", pa.string())],
        [("stop_reason", pa.string()), ("engine", pa.string())],
    ),
    "rewards": _schema(
        [("problem_id", pa.string()), ("draw", pa.int32()), ("reward", pa.float64())]
        + [("fraction", pa.float64()), ("verdict", pa.string()), ("layer", pa.string())]
        + [("flexible", pa.string())],
        [("extracted", pa.string()), ("detail", pa.string())]
        + [("of", pa.float64())],  # points, where a human gives them
    ),
    "examples": _schema(
        [("problem_id", pa.string()), ("source", pa.string()), ("draw", pa.int32())]
        + [("decision", pa.string()), ("weight", pa.float64())],
        [("prefix", pa.string()), ("prompt", pa.string()), ("target", pa.string())],
    ),
    "metrics": _schema(
        [*_address, ("seed", pa.int32()), ("problem_id", pa.string()), ("subject", pa.string())]
        + [("draws", pa.int32()), ("correct", pa.int32()), ("unextractable", pa.int32())]
        + [("completion_tokens_mean", pa.float64())],
        [("level", pa.int32()), ("halted", pa.string())]
        + [("choices", pa.string()), ("right", pa.string())]  # see restem.statistics.votes
        + [("points", pa.float64()), ("of", pa.float64())],  # where a human gives them: their mean
    ),
    "summary": _schema(
        [*_address, ("quantity", pa.string()), ("problems", pa.int32()), ("draws", pa.int32())]
        + [("seeds", pa.int32())],
        [("seed", pa.int32()), ("k", pa.int32()), ("estimate", pa.float64())]
        + [("low", pa.float64()), ("high", pa.float64()), ("halted", pa.string())],
    ),
    "breakdown": _schema(
        [*_address, ("kind", pa.string()), ("group", pa.string()), ("quantity", pa.string())]
        + [("problems", pa.int32()), ("seeds", pa.int32())],
        [("reference", pa.string()), ("estimate", pa.float64())]
        + [("low", pa.float64()), ("high", pa.float64())],
    ),
    "claims": _schema(
        [("claim", pa.string()), ("verdict", pa.string()), ("problems", pa.int32())]
        + [("seeds", pa.int32())],
        [("k", pa.int32()), ("contrast", pa.string()), ("test", pa.string())]
        + [("estimate", pa.float64()), ("low", pa.float64()), ("high", pa.float64())]
        + [("reason", pa.string())],
    ),
    "costs": _schema([("name", pa.string()), *_cost]),
    "ledger": _schema([("scope", pa.string()), ("name", pa.string()), *_cost]),
    "recheck": _schema(
        [("problem_id", pa.string()), ("source", pa.string()), ("draw", pa.int32())]
        + [("origin", pa.string()), ("kept", pa.int32()), ("check", pa.string())]
        + [("verdict", pa.string()), ("outcome", pa.string())],
        [("detail", pa.string())],
    ),
    "false_positives": _schema(
        [("task", pa.string()), ("model", pa.string()), ("variant", pa.string())]
        + [("iteration", pa.int32()), ("check", pa.string()), ("origin", pa.string())]
        + [(name, pa.int32()) for name in ("seeds", "kept", "audited", "problems", "undecided")]
        + [("rejected", pa.int32()), ("known", pa.int32())],
        [("seed", pa.int32()), ("estimate", pa.float64())]
        + [("low", pa.float64()), ("high", pa.float64())],
    ),
    "lifts": _schema(
        [*_address, ("reference", pa.string()), ("quantity", pa.string())]
        + [("problems", pa.int32()), ("seeds", pa.int32())],
        [("estimate", pa.float64()), ("low", pa.float64()), ("high", pa.float64())],
    ),
}


def table(kind: str, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Build a table of one kind from rows; a missing or mistyped cell is an error."""
    data = list(rows)
    try:
        built = pa.Table.from_pylist(data, schema=SCHEMAS[kind])
        built.validate(full=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as problem:
        raise RestemError(
            f"a row does not fit the schema of {kind}", str(problem), "this is a bug; report it"
        ) from problem
    _refuse_nulls(built, kind, f"new {kind} table")
    return built


def write_table(path: Path, kind: str, content: pa.Table, provenance: Mapping[str, Any]) -> None:
    """Write a table with its provenance: to a temporary name, synced, then renamed."""
    meta = {"schema": kind, "version": SCHEMA_VERSION, "content": content_digest(content)}
    described = {"restem": json.dumps({**meta, **provenance}, sort_keys=True)}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        pq.write_table(content.replace_schema_metadata(described), temporary, compression="zstd")
        sync(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_table(path: Path, kind: str) -> pa.Table:
    """Read a table of one kind, and refuse a file that is damaged or of another kind."""
    content = _open(path)
    meta = provenance_of(content, path)
    if meta.get("schema") != kind or meta.get("version") != SCHEMA_VERSION:
        raise RestemError(
            f"this is not a version {SCHEMA_VERSION} {kind} table but "
            f"{meta.get('schema')!r} version {meta.get('version')!r}",
            str(path),
            "pass the file that the rule names, or delete it and let the workflow make it again",
        )
    bare = content.replace_schema_metadata(None)
    if not bare.schema.equals(SCHEMAS[kind]):
        raise _damaged(path, f"its columns differ from the schema of {kind}: {bare.schema}")
    _refuse_nulls(bare, kind, str(path))
    if content_digest(bare) != meta.get("content"):
        raise _damaged(path, "its rows are not those that were written")
    return bare


def read_rows(path: Path, kind: str) -> list[dict[str, Any]]:
    """Read a table of one kind as a list of rows."""
    rows: list[dict[str, Any]] = read_table(path, kind).to_pylist()
    return rows


def read_provenance(path: Path) -> dict[str, Any]:
    """Return what a table's metadata says about its making."""
    try:
        return _provenance(pq.read_schema(path).metadata, path)
    except (pa.ArrowInvalid, OSError) as problem:
        raise _damaged(path, str(problem)) from problem


def provenance_of(content: pa.Table, path: Path) -> dict[str, Any]:
    """Return the provenance that a table in memory carries."""
    return _provenance(content.schema.metadata, path)


def content_digest(content: pa.Table) -> str:
    """Return the sha256 of a table's column names and values, whatever its layout in memory."""
    hasher = hashlib.sha256(json.dumps(content.schema.names).encode())
    for column in content.columns:
        _feed(hasher, column.combine_chunks())
    return hasher.hexdigest()


def _feed(hasher: Any, values: Any) -> None:
    """Hash which values are missing, then lengths and contents, level by level."""
    if isinstance(values, pa.ChunkedArray):
        values = pa.concat_arrays(values.chunks) if values.num_chunks else pa.array([], values.type)
    hasher.update(values.is_null().to_numpy(zero_copy_only=False).tobytes())
    if pa.types.is_list(values.type):
        hasher.update(values.value_lengths().fill_null(0).to_numpy().tobytes())
        _feed(hasher, values.flatten())
    elif pa.types.is_struct(values.type):
        for part in values.flatten():
            _feed(hasher, part)
    elif pa.types.is_string(values.type):
        filled = values.fill_null("")
        hasher.update(pc.binary_length(filled).to_numpy().tobytes())
        hasher.update("".join(filled.to_pylist()).encode())
    else:
        hasher.update(values.fill_null(0).to_numpy().tobytes())


def sync(path: Path) -> None:
    """Flush a file to the disk, so that a rename never exposes half of it."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def _open(path: Path) -> pa.Table:
    if not path.is_file():
        raise RestemError("the table is missing", str(path), "run the rule that makes it")
    try:
        return pq.read_table(path, partitioning=None)
    except (pa.ArrowInvalid, OSError) as problem:
        raise _damaged(path, str(problem)) from problem


def _provenance(metadata: Mapping[bytes, bytes] | None, path: Path) -> dict[str, Any]:
    if not metadata or b"restem" not in metadata:
        raise _damaged(path, "it carries no provenance, so restem did not write it")
    try:
        stored = json.loads(metadata[b"restem"])
    except ValueError as problem:
        raise _damaged(path, f"its provenance is not JSON: {problem}") from problem
    if not isinstance(stored, dict):
        raise _damaged(path, "its provenance is not an object")
    return stored


def _refuse_nulls(content: pa.Table, kind: str, where: str) -> None:
    for field in SCHEMAS[kind]:
        if not field.nullable and content[field.name].null_count:
            row = content[field.name].is_null().to_pylist().index(True)
            raise RestemError(
                f"column {field.name!r} of a {kind} table is empty",
                f"{where}, row {row}",
                "delete the file and let the workflow make it again",
            )


def _damaged(path: Path, problem: str) -> RestemError:
    return RestemError(
        f"the table is damaged: {problem}",
        str(path),
        "run snakemake again: a file that is not what was written is made anew",
    )
