"""Keep the draws of a samples table beside it, so that no draw is made twice.

A draw is identified by its request (the whole prompt), its number and its seed, in a folder that is
named by the digest of everything else that decides it. So more draws, more problems or other shards
add only what is missing, and a job that was killed goes on from there. The folder contains hard
links to finished tables, and the parts that a running job has saved.
"""

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from restem.artifacts.digests import digest
from restem.artifacts.schemas.loop import SAMPLES
from restem.artifacts.seals import state_folder
from restem.artifacts.tables import read_provenance, read_rows, read_table, table, write_table
from restem.errors import RestemError
from restem.sampling.engine import Request

Row = dict[str, Any]
Key = tuple[str, int, int]


def request_digest(request: Request) -> str:
    """Return what identifies a prompt in the table `samples`."""
    kind = ["chat"] if request.chat else []
    return digest([request.problem_id, request.prefix, request.prompt, *kind])[:16]


def keys_of(request: Request) -> list[Key]:
    """Return the keys of a request's draws."""
    name = request_digest(request)
    return [(name, *pair) for pair in zip(request.draws, request.seeds, strict=True)]


def key_of(row: Mapping[str, Any]) -> Key:
    """Return what identifies a draw among those of its recipe."""
    return str(row["request"]), int(row["draw"]), int(row["seed"])


class Pool:
    """The draws of one recipe beside one samples table."""

    def __init__(self, output: Path, recipe: str) -> None:
        self._output = output
        self._root = state_folder(output) / "draws"
        self._folder = self._root / recipe[:16]

    def rows(self, keys: set[Key]) -> dict[Key, Row]:
        """Return the rows of those keys that the pool has; delete damaged files."""
        rows_by_key: dict[Key, Row] = {}
        for path in sorted(self._folder.glob("*.parquet")):
            try:
                rows = read_rows(path, SAMPLES)
            except RestemError:
                path.unlink(missing_ok=True)
                continue
            rows_by_key.update({key_of(row): row for row in rows if key_of(row) in keys})
        return rows_by_key

    def save(self, rows: Sequence[Row], usage: Mapping[str, Any] | None = None) -> None:
        """Save new draws and what they used, so that an interruption loses neither."""
        # Not by the process's number: in a container, that of the next job may be the same.
        name = f"{self._output.stem}.part-{uuid4().hex}.parquet"
        write_table(self._folder / name, SAMPLES, table(SAMPLES, rows), {"usage": usage})

    def saved_usage(self) -> list[dict[str, Any]]:
        """Return what the saved parts of an interrupted job of this output used."""
        usages = []
        for path in sorted(self._folder.glob(f"{self._output.stem}.part-*.parquet")):
            with suppress(RestemError):
                usages.append(read_provenance(path).get("usage"))
        return [usage for usage in usages if usage]

    def close(self, keys: set[Key]) -> None:
        """Link the finished table; delete the files that it replaces, and those of other recipes.

        keys: those of all rows of the table.
        """
        for path in list(self._folder.glob("*.parquet")):
            if path.name.startswith(f"{self._output.stem}.") or set(self.keys(path)) <= keys:
                path.unlink(missing_ok=True)
        for folder in self._root.glob("*"):
            if folder != self._folder:
                shutil.rmtree(folder, ignore_errors=True)
        self._folder.mkdir(parents=True, exist_ok=True)
        # Without hard links, more draws have to start from nothing; everything else works.
        with suppress(OSError):
            os.link(self._output, self._folder / self._output.name)

    def keys(self, path: Path) -> Iterable[Key]:
        """Return the keys of a table's rows; none if it is damaged or missing."""
        try:
            columns = read_table(path, SAMPLES).select(["request", "draw", "seed"])
        except RestemError:
            return []
        return map(key_of, columns.to_pylist())
