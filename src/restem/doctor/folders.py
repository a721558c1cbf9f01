"""The folder of the results: can it be written to, and do locks and hard links work there?"""

import fcntl
import os
import tempfile
from pathlib import Path
from typing import Final

from restem.artifacts.sharing import STORE, store
from restem.doctor.findings import Findings, check, error, ok, warning
from restem.doctor.subject import Place

LOCAL: Final = ("localflock", "local_lock=all", "local_lock=flock", "nolock")
MOUNTS: Final = Path("/proc/mounts")


@check("folders", needs_study=False)
def is_clone(place: Place) -> Findings:
    """Look for the Snakefile."""
    if not (place.root / "Snakefile").is_file():
        yield error(
            f"there is no Snakefile in {place.root.resolve()}", "cd to the root of the clone"
        )


@check("folders", needs_study=False)
def works(place: Place) -> Findings:
    """Try to write, to lock and to link in the folder for results."""
    folder = place.folder.resolve()
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".restem-doctor-") as own:
            yield from tried(Path(own), folder)
    except OSError as problem:
        yield error(
            f"{folder} cannot be written to: {problem.strerror}",
            "use a clone on a file system that you can write to and that has space",
        )


def tried(own: Path, folder: Path) -> Findings:
    """Try locks and hard links in a folder of our own. folder: the one to name."""
    file = own / "file"
    file.write_text("x")
    yield from _locks(file, folder)
    try:
        os.link(file, own / "link")
    except OSError as problem:
        yield warning(
            f"hard links do not work in {folder} ({problem.strerror}), so no copy of an artifact "
            "is kept, and what a re-run leaves unchanged is computed again",
            "use a clone on another file system, if that matters",
        )
    else:
        yield ok(f"{folder} can be written to, and hard links work there")


def _locks(file: Path, folder: Path) -> Findings:
    move = "use a clone on another file system, such as scratch, or ask for flock to be enabled"
    mounted = mount_options(folder)
    with file.open() as first, file.open() as second:
        try:
            fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as problem:
            yield error(f"file locks do not work in {folder} ({problem.strerror})", move)
            return
        try:
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            pass
        else:
            yield error(f"file locks have no effect in {folder}", move)
            return
    local = [option for option in LOCAL if option in mounted]
    if local:
        yield warning(
            f"file locks in {folder} hold on one node only (mounted with {local[0]}), so two nodes "
            "may make one artifact at once",
            move,
        )
    else:
        yield ok("file locks work there on this machine; between nodes they cannot be tried here")


def mount_options(folder: Path, mounts: Path = MOUNTS) -> list[str]:
    """Return the options of the file system that a folder is on, as the kernel lists them."""
    _, options = mounted_at(folder, mounts)
    return options


def mounted_at(folder: Path, mounts: Path = MOUNTS) -> tuple[str, list[str]]:
    """Return the device of the file system that a folder is on, and its options."""
    try:
        lines = [line.split() for line in mounts.read_text().splitlines()]
    except OSError:
        return "", []
    above = [folder, *folder.parents]
    found = [line for line in lines if len(line) > 3 and Path(_unescaped(line[1])) in above]
    if not found:
        return "", []
    longest = max(len(line[1]) for line in found)
    last = [line for line in found if len(line[1]) == longest][-1]  # it hides the others
    return last[0], last[3].split(",")


def _unescaped(path: str) -> str:
    return path.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")


@check("folders", needs_study=False)
def has_store(place: Place) -> Findings:
    """Look for the shared store, if one is named."""
    if found := store():
        yield ok(f"the shared store is {found.folder} ({STORE})")
