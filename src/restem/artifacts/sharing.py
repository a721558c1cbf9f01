"""A store that several people share: each artifact that one of them made, by its recipe's key.

The environment variable RESTEM_STORE names a folder on a file system that all of them see. An entry
`<key>/` holds the seal and the outputs of one job. Who is about to make an artifact reserves its
key; who comes second waits, and takes the finished artifact. Contents are compared with their seal
before they are taken; what does not match is refused by name and made again.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from restem.artifacts.files import write_json
from restem.artifacts.seals import is_intact, parse_seal, read_seal
from restem.artifacts.transfer import replace_by_links_or_copies
from restem.errors import RestemError

STORE = "RESTEM_STORE"
_SEAL = "seal.json"


def store() -> "Store | None":
    """Return the shared store, if this machine has one."""
    folder = os.environ.get(STORE)
    return Store(Path(folder)) if folder else None


@dataclass(frozen=True)
class Store:
    """A shared store in a folder."""

    folder: Path

    def __post_init__(self) -> None:
        if not self.folder.is_dir():
            raise RestemError(
                "the shared store is missing",
                f"{STORE}={self.folder}",
                "create the folder, correct the path, or leave the store out",
            )

    def entry(self, key: str) -> Path:
        """Return the folder of an artifact, which exists only when it is complete."""
        return self.folder / key[:2] / key

    @contextmanager
    def reserve(self, key: str) -> Iterator[None]:
        """Let one process at a time make an artifact. Others wait until it is in the store."""
        path = self.entry(key).with_suffix(".lock")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(f"waiting: somebody else is making this artifact ({path})", flush=True)
                fcntl.flock(stream, fcntl.LOCK_EX)
            yield

    def take(self, key: str, outputs: Mapping[str, Path]) -> dict[str, Any] | None:
        """Put an artifact in its place and return its seal; None if the store has no sound one."""
        entry = self.entry(key)
        seal = parse_seal(entry / _SEAL)
        if seal is None or seal["key"] != key or set(seal["outputs"]) != set(outputs):
            return None
        for name, record in seal["outputs"].items():
            if not is_intact(entry / name, record, verify=True):
                print(f"refused {entry / name}: it does not match its seal", flush=True)
                return None
        for name, path in outputs.items():
            replace_by_links_or_copies(entry / name, path)
        return seal

    def put(self, first_output: Path) -> None:
        """Add a finished artifact, or replace one that does not match its seal.

        A key has to be reserved. Nobody sees half an entry: it gets its name when it is complete.
        """
        seal = read_seal(first_output)
        if seal is None or self._is_sound(seal):
            return
        entry = self.entry(seal["key"])
        unfinished = entry.with_suffix(".new")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        for name, record in seal["outputs"].items():
            replace_by_links_or_copies(first_output.parent / record["path"], unfinished / name)
        write_json(unfinished / _SEAL, seal)
        shutil.rmtree(entry, ignore_errors=True)
        unfinished.rename(entry)

    def _is_sound(self, seal: Mapping[str, Any]) -> bool:
        entry = self.entry(seal["key"])
        stored = parse_seal(entry / _SEAL)
        return stored is not None and all(
            is_intact(entry / name, record, verify=True)
            for name, record in stored["outputs"].items()
        )
