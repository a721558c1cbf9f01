"""Collect the wheels of locked packages in a folder, for machines without a package index."""

import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from restem.errors import RestemError

PIN: Final = re.compile(r"([\w.-]+)==([^\s;#\\]+)")
HERE: Final = "{}.{}".format(*sys.version_info)
_PIP: Final = (sys.executable, "-m", "pip")
_OPTIONS: Final = ("--quiet", "--disable-pip-version-check", "--no-deps")


def pins(lock: Path) -> list[str]:
    """Return the pins of a lock, such as `numpy==2.4.6`."""
    lines = (line.split("#")[0].strip() for line in lock.read_text().splitlines())
    return [line for line in lines if line]


def collect(pinned: Iterable[str], folder: Path, python: str = HERE) -> None:
    """Put the wheels of some pins into a folder, with the pip of this machine and its index.

    python: version of the Python that will install them. For that of this machine, packages without
    a wheel are built. Raises RestemError if pip cannot; complete wheels only are in the folder.
    """
    lines = list(dict.fromkeys(pinned))
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        requirements, made = Path(temporary, "requirements.txt"), Path(temporary, "wheels")
        requirements.write_text("\n".join(lines) + "\n")
        own = ["wheel", "--wheel-dir", str(made)]
        other = ["download", "--dest", str(made), "--python-version", python]
        command = [*_PIP, *(own if python == HERE else [*other, "--only-binary", ":all:"])]
        done = subprocess.run(
            [*command, *_OPTIONS, "--requirement", str(requirements)],
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
    reason = errors[-1].removeprefix("ERROR: ") if errors else "it failed"
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
    found = {}
    for pin in pinned:
        [(name, version)] = PIN.findall(pin)
        found[pin] = wheels.get((canonicalize_name(name), Version(version).public))
    return found
