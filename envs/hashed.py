"""Install locked packages with the sha256 of every file: envs/hashed.py install -r envs/data.txt

`files.tsv` lists the files of the locked versions with their digests. Any other content is refused
(`--require-hashes`), for all packages of a call or for none. So packages without digests come in a
second call. torch is one: each version has several builds, and a site takes that which its index
offers; it brings what its CUDA build needs. So is a package that has no wheel, where PIP_FIND_LINKS
names a folder that holds one built from its source. HASHES=no leaves out the check, for an index
that builds packages itself.

pip decides; uv, with pip's settings, does the same in a fraction of the time. pip takes over where
uv cannot be had, does not know a setting, or fails.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FILES = HERE / "files.tsv"
UV = HERE / "uv.txt"
PIN = re.compile(r"^([\w.-]+)==([^\s;#]+)", re.MULTILINE)
PIP = [sys.executable, "-m", "pip"]

OF_PIP_ALONE = {"--quiet", "--disable-pip-version-check", "--no-compile"}
# Settings of pip by the option of uv that says the same, or by nothing if uv need not know.
SETTINGS = {
    "index-url": "--default-index",
    "extra-index-url": "--index",
    "find-links": "--find-links",
    "no-index": "--no-index",
    "trusted-host": "--allow-insecure-host",
    "constraint": "--constraints",
    **dict.fromkeys(("cert", "config-file", "timeout", "default-timeout"), ""),
    **dict.fromkeys(("cache-dir", "disable-pip-version-check", "no-cache-dir"), ""),
    **dict.fromkeys(("no-input", "progress-bar", "quiet"), ""),
}


def canonical(name: str) -> str:
    """Return a package's name as names are compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def package_of(file: str) -> tuple[str, str]:
    """Return package and version of a wheel or an archive of sources."""
    if file.endswith(".whl"):
        name, version, *_ = file.split("-")
    else:
        name, _, version = file.removesuffix(".tar.gz").rpartition("-")
    return canonical(name), version


def read_files(path: Path = FILES) -> dict[tuple[str, str], dict[str, str]]:
    """Return the digests by file, of each package and version that has some."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for line in path.read_text().splitlines():
        if not line.startswith("#"):
            file, digest, _ = line.split("\t")
            found.setdefault(package_of(file), {})[file] = digest
    return found


def divided(pins: list[tuple[str, str]]) -> tuple[list[str], list[str]]:
    """Return lines for pip: those with digests, and those without."""
    known, with_digests, without = read_files(), [], []
    for name, version in dict.fromkeys(pins):
        files = known.get((canonical(name), version), {})
        if files and not (all(f.endswith(".tar.gz") for f in files) and is_built(name, version)):
            digests = sorted(set(files.values()))
            line = " ".join([f"{name}=={version}", *(f"--hash=sha256:{d}" for d in digests)])
            with_digests.append(line)
        else:
            without.append(f"{name}=={version}")
    return with_digests, without


def is_built(name: str, version: str) -> bool:
    """Tell whether a folder that pip looks into holds a wheel of a package."""
    folders = os.environ.get("PIP_FIND_LINKS", "").split()
    wheels = (wheel.name for folder in folders for wheel in Path(folder).glob("*.whl"))
    return any(package_of(wheel) == (canonical(name), version) for wheel in wheels)


def settings_of_pip() -> dict[str, str]:
    """Return pip's settings, those of its files and of the environment, which come first."""
    listed = subprocess.run([*PIP, "config", "list"], capture_output=True, text=True, check=False)
    found: dict[str, tuple[int, str]] = {}
    for line in listed.stdout.splitlines():
        place, _, value = line.partition("=")
        section, _, name = place.rpartition(".")
        rank = {"global": 0, "install": 1, ":env:": 2}.get(section, -1)
        if rank >= found.get(name, (0, ""))[0]:
            found[name] = rank, str(ast.literal_eval(value))
    return {name: value for name, (_, value) in found.items()}


def options_of_uv(settings: dict[str, str], hashed: bool) -> list[str] | None:
    """Translate pip's settings; None if there is one that uv might not follow."""
    if not settings.keys() <= SETTINGS.keys():
        return None
    options = ["--index-strategy", "unsafe-best-match"]
    for name, value in settings.items():
        option = SETTINGS[name]
        if name == "no-index":
            options += [option] if value.lower() in ("1", "true", "yes", "on") else []
        elif option and not (hashed and name == "constraint"):  # all is pinned there
            options += [word for item in value.split() for word in (option, item)]
    return options


def environment_of_uv(settings: dict[str, str]) -> dict[str, str]:
    """Return variables that say what pip's settings on connections say."""
    seconds = settings.get("timeout") or settings.get("default-timeout")
    stated = {"SSL_CERT_FILE": settings.get("cert"), "UV_HTTP_TIMEOUT": seconds}
    known = {name: value for name, value in stated.items() if value}
    return {"UV_SYSTEM_CERTS": "1", "UV_HTTP_TIMEOUT": "120", **known, **os.environ}


def find_uv() -> str | None:
    """Return the program: that of this machine or of this environment."""
    return shutil.which("uv") or shutil.which("uv", path=Path(sys.executable).parent)


def get_uv() -> str | None:
    """Return the program, which an environment gets now if it has none."""
    found = find_uv()
    if found or not UV.is_file() or sys.prefix == sys.base_prefix or install_with_pip(UV):
        return found
    return find_uv()


def install_with_pip(lock: Path) -> int:
    """Install a lock whose packages all have digests, quietly; return pip's status."""
    lines, _ = divided(PIN.findall(lock.read_text()))
    with tempfile.TemporaryDirectory() as folder:
        requirements = Path(folder, "requirements.txt")
        requirements.write_text("\n".join(lines) + "\n")
        options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes"]
        command = [*PIP, "install", *options, "-r", str(requirements)]
        return subprocess.run(command, capture_output=True, check=False).returncode


def run(arguments: list[str]) -> int:
    """Let uv install, or pip; return the status."""
    if arguments[:1] == ["install"] and (uv := get_uv()):
        settings = settings_of_pip()
        stated = options_of_uv(settings, "--require-hashes" in arguments)
        if stated is not None:
            options = ["--quiet", "--python", sys.executable, *stated]
            asked = [argument for argument in arguments[1:] if argument not in OF_PIP_ALONE]
            command = [uv, "pip", "install", *options, *asked]
            environment = environment_of_uv(settings)
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, check=False
            )
            if done.returncode == 0:
                return 0
            why = done.stderr.strip().splitlines() or ["it failed"]
            print(f"installing with pip, because uv says: {why[-1].strip()}", file=sys.stderr)
    return subprocess.run([*PIP, *arguments], check=False).returncode


def size_of(pin: str, python: str) -> int | None:
    """Ask the index how many bytes the wheel of a version has; None if it does not say."""
    uv, stated = find_uv(), options_of_uv(settings := settings_of_pip(), hashed=False)
    if uv is None or stated is None:
        return None
    command = [uv, "pip", "compile", "-", "--quiet", "--no-deps", "--format", "pylock.toml"]
    command += ["--python-version", python, *stated]
    hasty = {"UV_HTTP_TIMEOUT": "10", "UV_HTTP_RETRIES": "0"}  # there may be no network
    environment = environment_of_uv(settings) | hasty
    done = subprocess.run(
        command, input=pin, env=environment, capture_output=True, text=True, check=False
    )
    packages = tomllib.loads(done.stdout)["packages"] if done.returncode == 0 else []
    sizes = [bytes_of(wheel) for package in packages for wheel in package.get("wheels", [])]
    return max(filter(None, sizes), default=None)


def bytes_of(wheel: dict[str, Any]) -> int | None:
    """Return the size of a wheel, as the index states it or as it lies in a folder."""
    path = Path(wheel.get("path") or wheel.get("url", "").removeprefix("file://"))
    return path.stat().st_size if path.is_file() else wheel.get("size")


def main(arguments: list[str]) -> int:
    """Install what the locks among the arguments list, in one call or two; return the status.

    `size <pin> <python>` prints the size of a wheel.
    """
    if arguments[:1] == ["size"]:
        print(size_of(*arguments[1:]) or "")
        return 0
    places = [place for place, argument in enumerate(arguments) if argument == "-r"]
    if not places or os.environ.get("HASHES") == "no":
        return run(arguments)
    locks = [Path(arguments[place + 1]) for place in places]
    others = [a for i, a in enumerate(arguments) if i not in places and i - 1 not in places]
    checked, unchecked = divided([pin for lock in locks for pin in PIN.findall(lock.read_text())])
    for lines, options in ((checked, ["--no-deps", "--require-hashes"]), (unchecked, [])):
        with tempfile.TemporaryDirectory() as folder:
            requirements = Path(folder, "requirements.txt")
            requirements.write_text("\n".join(lines) + "\n")
            added = [option for option in options if option not in others]  # uv takes each once
            if lines and (status := run([*others, *added, "-r", str(requirements)])):
                return status
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
