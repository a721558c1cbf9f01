"""Run pip on locks with the sha256 of every file: python envs/hashed.py install -r envs/data.txt

`files.tsv` lists the files of the locked versions with their digests. pip refuses any other content
(`--require-hashes`), for all packages of a call or for none. So packages without digests come in a
second call. torch is one: each version has several builds, and a site takes that which its index
offers; it brings what its CUDA build needs. So is a package that has no wheel, where PIP_FIND_LINKS
names a folder that holds one built from its source. HASHES=no leaves out the check, for an index
that builds packages itself.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

FILES = Path(__file__).parent / "files.tsv"
PIN = re.compile(r"^([\w.-]+)==([^\s;#]+)", re.MULTILINE)


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


def main(arguments: list[str]) -> int:
    """Run pip once or twice, and return its status."""
    pip = [sys.executable, "-m", "pip"]
    places = [place for place, argument in enumerate(arguments) if argument == "-r"]
    if not places or os.environ.get("HASHES") == "no":
        return subprocess.run([*pip, *arguments], check=False).returncode
    locks = [Path(arguments[place + 1]) for place in places]
    others = [a for i, a in enumerate(arguments) if i not in places and i - 1 not in places]
    checked, unchecked = divided([pin for lock in locks for pin in PIN.findall(lock.read_text())])
    for lines, options in ((checked, ["--no-deps", "--require-hashes"]), (unchecked, [])):
        with tempfile.TemporaryDirectory() as folder:
            requirements = Path(folder, "requirements.txt")
            requirements.write_text("\n".join(lines) + "\n")
            command = [*pip, *others, *options, "-r", str(requirements)]
            if lines and (status := subprocess.run(command, check=False).returncode):
                return status
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
