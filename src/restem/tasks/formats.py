"""Read the rows of a file: JSON lines, JSON, YAML, CSV, Parquet, and lists in Python modules.

Only JSON lines are read row by row, because a benchmark's file may be larger than memory.
"""

import ast
import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Final

from restem.errors import RestemError

Values = dict[str, Any]
SAMPLES_FUNCTION: Final = "list_fewshot_samples"  # of lm-evaluation-harness's modules


def rows_of(stream: BinaryIO, file: str) -> Iterator[Values]:
    """Yield the rows of a file by the ending of its name; `.gz` is unpacked.

    Raises RestemError with file and row where it is damaged.
    """
    name = file.removesuffix(".gz")
    if name.endswith(".jsonl"):
        yield from _lines(stream, file)
        return
    content = stream.read()
    if name.endswith(".parquet"):
        yield from _parquet(content, file)
        return
    if file.endswith(".gz"):
        content = _decoded(gzip.decompress, content, file, "a complete gzip file")
    text: str = _decoded(_text, content, file, "UTF-8")
    if name.endswith(".csv"):
        yield from csv.DictReader(io.StringIO(text, newline=""))
    else:
        yield from _document(_decoded(*_reading(name, text), file, _kind(name)), file)


def _text(content: bytes) -> str:
    return content.decode("utf-8-sig")


def _reading(name: str, text: str) -> tuple[Callable[[Any], Any], str]:
    """Return what reads a text, and the text."""
    if name.endswith(".py"):
        return _literal, text
    return (_yaml if name.endswith((".yaml", ".yml")) else json.loads), text


def _kind(name: str) -> str:
    ending = name.rpartition(".")[2]
    return {"py": f"a module with {SAMPLES_FUNCTION}()", "yaml": "YAML", "yml": "YAML"}.get(
        ending, "JSON"
    )


def _parquet(content: bytes, file: str) -> Iterator[Values]:
    import pyarrow as pa  # imported here, because it takes half a second; only the hub needs it
    import pyarrow.parquet as pq

    try:
        # Not read_table, and without threads: when Arrow reads no path, its threads may outlive
        # the call, and a process that ends right afterwards may abort (apache/arrow issue 33975).
        table = pq.ParquetFile(pa.BufferReader(content), pre_buffer=False).read(use_threads=False)
        rows: list[Values] = table.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise damaged(file, f"is not readable Parquet: {error}") from error
    yield from rows


def _lines(stream: BinaryIO, file: str) -> Iterator[Values]:
    """Yield one row for each line; only lines at the end may be empty."""
    blank = 0
    # Lines of bytes, because JSON may contain U+2028 and the like unescaped; but no CR unescaped.
    lines = (one for line in _unpacked(stream, file) for one in line.rstrip(b"\r\n").split(b"\r"))
    for number, line in enumerate(lines, start=1):
        where = f"{file}, row {number}"
        if not line.strip():
            blank = blank or number
        elif blank:
            raise damaged(f"{file}, row {blank}", "is an empty line")
        else:
            text = _decoded(_text if number == 1 else bytes.decode, line, where, "UTF-8")
            yield _as_row(_decoded(json.loads, text, where, "JSON"), where)


def _unpacked(stream: BinaryIO, file: str) -> Iterator[bytes]:
    if not file.endswith(".gz"):
        yield from stream
        return
    try:
        with gzip.open(stream) as unpacked:
            yield from unpacked
    except (OSError, EOFError, zlib.error) as error:
        raise damaged(file, f"is not a complete gzip file: {error}") from error


def _yaml(text: str) -> Any:
    """Read YAML; what it has tags for (`!function`) is not looked up."""
    import yaml

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_multi_constructor("!", lambda loader, suffix, node: None)
    try:
        return yaml.load(text, Loader)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _literal(source: str) -> Any:
    """Return the list that a module's function of few-shot samples returns, without running it."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name == SAMPLES_FUNCTION:
            returned = [part.value for part in node.body if isinstance(part, ast.Return)]
            if len(returned) == 1 and returned[0] is not None:
                return ast.literal_eval(returned[0])
    raise ValueError("the function is not there, or returns no list")


def _document(document: Any, file: str) -> Iterator[Values]:
    """Read a list of rows, or an object with such a list under `samples` or `examples`.

    An object of such objects gives the rows of all of them, each with `name` and `description`; so
    does a task of lm-evaluation-harness, with its `dataset_name`.
    """
    rows = _rows_in(document) if isinstance(document, dict) else document
    if not isinstance(rows, list):
        raise damaged(file, "is neither a list of rows nor an object with a list `samples`")
    for number, row in enumerate(rows, start=1):
        yield _as_row(row, f"{file}, row {number}")


def _rows_in(document: Values) -> Any:
    for key in ("samples", "examples"):
        if key in document:
            return document[key]
    if isinstance(document.get("fewshot_config"), dict):
        part = {**document, **document["fewshot_config"]}
        return _named(str(document.get("dataset_name") or ""), part)
    parts = document.items()
    if not parts or not all(isinstance(part, dict) and "samples" in part for _, part in parts):
        return None
    return [row for name, part in parts for row in _named(name, part)]


def _named(name: str, part: Values) -> Any:
    rows = part.get("samples")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return None if not isinstance(rows, list) else rows
    common = {"name": name, "description": part.get("description", "")}
    return [{**common, **row} for row in rows]


def _as_row(value: Any, where: str) -> Values:
    if isinstance(value, dict):
        return value
    raise damaged(where, f"is a JSON {type(value).__name__}, not an object")


def _decoded(decode: Callable[[Any], Any], content: bytes | str, where: str, what: str) -> Any:
    try:
        return decode(content)
    except (ValueError, SyntaxError, RecursionError, OSError, EOFError, zlib.error) as error:
        raise damaged(where, f"is not {what}: {error}") from error


def damaged(where: str, what: str) -> RestemError:
    """Return the error for a file, or a row of it, that cannot be read."""
    return RestemError(f"the data {what}", where, "fetch the file again, or correct it")
