"""What was drawn before, kept beside a samples table so that no draw is made twice.

A draw is known by its request (the whole prompt), its number and its seed, inside a folder named by
the digest of everything else that decides it. So more draws, more problems or other shards add
what is missing, and a job that was killed goes on where it was. The folder holds hard links to
finished tables and the parts that a running job has saved.
"""

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from restem.artifacts.store import hidden
from restem.artifacts.tables import read_provenance, read_table, table, write_table
from restem.errors import RestemError

Row = Mapping[str, Any]
Key = tuple[str, int, int]


class Pool:
    """The draws of one recipe beside one samples table."""

    def __init__(self, output: Path, recipe: str) -> None:
        self._output = output
        self._all = hidden(output) / "draws"
        self._folder = self._all / recipe[:16]
        self._parts = 0

    def rows(self, wanted: set[Key]) -> dict[Key, dict[str, Any]]:
        """Return what the pool holds of the wanted draws; a damaged file counts for nothing."""
        found: dict[Key, dict[str, Any]] = {}
        for path in sorted(self._folder.glob("*.parquet")):
            try:
                rows = read_table(path, "samples").to_pylist()
            except RestemError:
                path.unlink(missing_ok=True)
                continue
            found.update({key(row): row for row in rows if key(row) in wanted})
        return found

    def save(self, rows: Sequence[Row], ledger: Mapping[str, Any] | None = None) -> None:
        """Save some new draws and what they cost, so that an interruption loses none of them."""
        self._parts += 1
        name = f"{self._output.stem}.part-{os.getpid()}-{self._parts}.parquet"
        write_table(self._folder / name, "samples", table("samples", rows), {"ledger": ledger})

    def spent(self) -> list[dict[str, Any]]:
        """Return the ledgers of what an interrupted job of this output has saved."""
        paths = sorted(self._folder.glob(f"{self._output.stem}.part-*.parquet"))
        found = []
        for path in paths:
            with suppress(RestemError):
                found.append(read_provenance(path).get("ledger"))
        return [ledger for ledger in found if ledger]

    def close(self, made: set[Key]) -> None:
        """Link the finished table, and sweep what it contains and what another recipe drew."""
        for path in list(self._folder.glob("*.parquet")):
            if path.name.startswith(f"{self._output.stem}.") or self._within(path, made):
                path.unlink(missing_ok=True)
        for folder in self._all.glob("*"):
            if folder != self._folder:
                shutil.rmtree(folder, ignore_errors=True)
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            os.link(self._output, self._folder / self._output.name)
        except OSError:  # no hard links here: more draws will start from nothing, all else works
            return

    def _within(self, path: Path, made: set[Key]) -> bool:
        return set(self.keys(path)) <= made

    def keys(self, path: Path) -> Iterable[Key]:
        """Return the draws that a table holds; none if it is damaged or gone."""
        try:
            columns = read_table(path, "samples").select(["request", "draw", "seed"]).to_pylist()
        except RestemError:
            return []
        return [key(row) for row in columns]


def key(row: Row) -> Key:
    """Return what tells one draw from all others of its recipe."""
    return str(row["request"]), int(row["draw"]), int(row["seed"])
