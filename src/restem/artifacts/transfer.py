"""Copy an output of a job, a file or a folder, by hard links or by content."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from restem.artifacts.seals import files_of


def replace_by_links(source: Path, target: Path) -> None:
    """Replace an output by hard links to another. Raises OSError where there are none."""
    _replace(source, target, os.link)


def replace_by_links_or_copies(source: Path, target: Path) -> None:
    """Replace an output by hard links to another, or by copies on another file system."""
    _replace(source, target, _link_or_copy)


def _replace(source: Path, target: Path, transfer: Callable[[Path, Path], object]) -> None:
    if target.is_dir():
        shutil.rmtree(target)
    else:
        target.unlink(missing_ok=True)
    if source.is_dir():
        target.mkdir(parents=True)
    for relative, file in files_of(source).items():
        copy = target / relative if relative else target
        copy.parent.mkdir(parents=True, exist_ok=True)
        transfer(file, copy)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, one without hard links, or files of another user
        shutil.copyfile(source, target)
