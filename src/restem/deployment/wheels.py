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
from functools import lru_cache
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

    python: version of the Python that will install them. Packages without a wheel are built, by
    that of this machine. Raises RestemError if pip cannot, if a wheel that is built suits the
    Python of this machine only and another is asked for, or if the index has other files than
    `envs/files.tsv` lists; complete wheels only are in the folder.
    """
    lines = list(dict.fromkeys(pinned))
    folder.mkdir(parents=True, exist_ok=True)
    sources = {package_of(file) for file, _, _ in _files() if not file.endswith(".whl")}
    built = [line for line in lines if python == HERE or _key(line) in sources]
    others = [line for line in lines if line not in built]
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        made = Path(temporary, "wheels")
        if built:
            _run_pip(["wheel", "--wheel-dir", str(made)], built, python)
            bound = [w.name for w in made.iterdir() if not w.name.endswith("-none-any.whl")]
            if bound and python != HERE:
                raise _refused(built, python, f"ERROR: {bound[0]} is for Python {HERE} only\n")
        if others:
            options = ["--only-binary", ":all:", "--python-version", python, "--dest", str(made)]
            _run_pip(["download", *options], others, python)
        for wheel in made.iterdir():
            wheel.replace(folder / wheel.name)


def _run_pip(action: Sequence[str], lines: Sequence[str], python: str) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirements:
        requirements.write("\n".join(lines) + "\n")
        requirements.flush()
        command = [sys.executable, str(HASHED), *action, *_OPTIONS, "-r", requirements.name]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise _refused(lines, python, done.stderr)


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
    """Return the size in bytes of what would be installed for some pins; None if it is unknown.

    The index is asked for what `envs/files.tsv` does not list.
    """
    sizes = [listed_size(pin, python) or _size_in_index(pin, python) for pin in pinned]
    return None if None in sizes else sum(filter(None, sizes))


def listed_size(pin: str, python: str) -> int | None:
    """Return the size in bytes that `envs/files.tsv` states for a pin; None if it has none."""
    return _sizes(_files(), python).get(_key(pin))


@lru_cache
def _size_in_index(pin: str, python: str) -> int | None:
    command = [sys.executable, str(HASHED), "size", pin, python]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    except subprocess.TimeoutExpired:
        return None
    return int(done.stdout) if done.stdout.strip().isdigit() else None


@lru_cache(maxsize=1)
def _sizes(
    files: tuple[tuple[str, ...], ...], python: str
) -> dict[tuple[NormalizedName, str], int]:
    """Return the size of the file that suits best, by package and version."""
    version = [int(part) for part in python.split(".")]
    tags = [*cpython_tags(version), *compatible_tags(version)]
    ranks = {tag: rank for rank, tag in enumerate(tags)}
    best: dict[tuple[NormalizedName, str], tuple[int, int]] = {}
    for file, _, file_size in files:
        key, rank = package_of(file), _rank(file, ranks)
        if rank is not None:
            best[key] = min(best.get(key, (rank, int(file_size))), (rank, int(file_size)))
    return {key: file_size for key, (_, file_size) in best.items()}


def package_of(file: str) -> tuple[NormalizedName, str]:
    """Return package and version of a wheel or an archive of sources."""
    parse = parse_wheel_filename if file.endswith(".whl") else parse_sdist_filename
    name, version, *_ = parse(file)
    return name, version.public


def _rank(file: str, ranks: Mapping[Tag, int]) -> int | None:
    """Return how well a file suits, from 0; None if it does not."""
    if not file.endswith(".whl"):
        return len(ranks)
    tags = parse_wheel_filename(file)[3]
    return min((ranks[tag] for tag in tags if tag in ranks), default=None)


def _key(pin: str) -> tuple[NormalizedName, str]:
    [(name, version)] = PIN.findall(pin)
    return canonicalize_name(name), Version(version).public


def _files() -> tuple[tuple[str, ...], ...]:
    """Return file, digest and size of what the locks may install."""
    lines = FILES.read_text().splitlines()
    return tuple(tuple(line.split("\t")) for line in lines if not line.startswith("#"))
