"""Collect the wheels of locked packages in a folder, for machines without a package index.

`envs/files.tsv` lists the files of the locked versions with digests and sizes, except those of
torch and its companions, which have several builds (envs/hashed.py).
"""

import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import (
    InvalidWheelFilename,
    NormalizedName,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import Version

from restem.artifacts.digests import PACKAGE_ROOT, file_digest
from restem.errors import RestemError

PIN: Final = re.compile(r"([\w.-]+)==([^\s;#\\]+)")
HERE: Final = "{}.{}".format(*sys.version_info)
FILES: Final = PACKAGE_ROOT.parents[1] / "envs" / "files.tsv"
HASHED: Final = FILES.parent / "hashed.py"  # pip, with digests
_OPTIONS: Final = ("--quiet", "--disable-pip-version-check", "--no-deps")


def pins(lock: Path) -> list[str]:
    """Return the pins of a lock, such as `numpy==2.4.6`."""
    lines = (line.split("#")[0].strip() for line in lock.read_text().splitlines())
    return [line for line in lines if line]


def collect(pinned: Iterable[str], folder: Path, python: str = HERE) -> None:
    """Put the wheels of some pins into a folder, with the pip of this machine and its index.

    python: version of the Python that will install them. For that of this machine, packages without
    a wheel are built. Raises RestemError if pip cannot, or gets other files than `envs/files.tsv`
    lists; complete wheels only are in the folder.
    """
    lines = list(dict.fromkeys(pinned))
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        requirements, made = Path(temporary, "requirements.txt"), Path(temporary, "wheels")
        requirements.write_text("\n".join(lines) + "\n")
        own = ["wheel", "--wheel-dir", str(made)]
        other = ["download", "--dest", str(made), "--python-version", python]
        action = own if python == HERE else [*other, "--only-binary", ":all:"]
        done = subprocess.run(
            [sys.executable, str(HASHED), *action, *_OPTIONS, "-r", str(requirements)],
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode:
            raise _refused(lines, python, done.stderr)
        for wheel in made.iterdir():
            wheel.replace(folder / wheel.name)


def _refused(lines: Sequence[str], python: str, said: str) -> RestemError:
    sys.stderr.write(said)
    errors = [line for line in said.splitlines() if line.startswith("ERROR: ")]
    reason = errors[-1].removeprefix("ERROR: ").partition(". ")[0] if errors else "it failed"
    what = lines[0] if len(lines) == 1 else f"{len(lines)} locked packages"
    return RestemError(
        f"pip cannot collect {what} for Python {python}: {reason}",
        "the package index that pip uses here",
        "read what pip printed above, or give --wheels a folder that was filled elsewhere"
        + ("" if python == HERE else f"; a package without a wheel needs Python {python} here"),
    )


def find(pinned: Iterable[str], folder: Path) -> dict[str, Path | None]:
    """Return the wheel of each pin in a folder; None if there is none, or it is not whole."""
    wheels = {}
    for wheel in folder.glob("*.whl"):
        with suppress(InvalidWheelFilename):
            name, version, _, _ = parse_wheel_filename(wheel.name)
            if zipfile.is_zipfile(wheel):
                wheels[name, version.public] = wheel
    return {pin: wheels.get(_key(pin)) for pin in pinned}


def altered(wheels: Iterable[Path]) -> list[Path]:
    """Return the wheels that are listed in `envs/files.tsv` with another digest."""
    known = {file: digest for file, digest, _ in _files()}
    listed = [wheel for wheel in wheels if wheel.name in known]
    return [wheel for wheel in listed if file_digest(wheel) != known[wheel.name]]


def size(pinned: Iterable[str], python: str) -> int | None:
    """Return the size in bytes of what pip would take for some pins; None if one is not listed."""
    version = [int(part) for part in python.split(".")]
    tags = [*cpython_tags(version), *compatible_tags(version)]
    ranks = {tag: rank for rank, tag in enumerate(tags)}
    best: dict[tuple[str, str], tuple[int, int]] = {}
    for file, _, file_size in _files():
        key, rank = _ranked(file, ranks)
        if rank is not None:
            best[key] = min(best.get(key, (rank, int(file_size))), (rank, int(file_size)))
    sizes = [best.get(_key(pin)) for pin in pinned]
    return None if None in sizes else sum(size for _, size in filter(None, sizes))


def _ranked(file: str, ranks: Mapping[Tag, int]) -> tuple[tuple[NormalizedName, str], int | None]:
    """Return package and version of a file, and how well it suits; None if it does not."""
    if not file.endswith(".whl"):
        name, version = parse_sdist_filename(file)
        return (name, version.public), len(ranks)
    name, version, _, tags = parse_wheel_filename(file)
    return (name, version.public), min((ranks[tag] for tag in tags if tag in ranks), default=None)


def _key(pin: str) -> tuple[NormalizedName, str]:
    [(name, version)] = PIN.findall(pin)
    return canonicalize_name(name), Version(version).public


@cache
def _files() -> list[list[str]]:
    """Return file, digest and size of what the locks may install."""
    lines = FILES.read_text().splitlines()
    return [line.split("\t") for line in lines if not line.startswith("#")]
