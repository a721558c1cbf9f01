"""Write the lock files from what is installed: the versions of each family's whole closure.

`make locks` installs the newest versions that the .in files admit into a fresh environment and
runs this there. A lock has no hashes, because torch of one version has several builds (CPU, CUDA)
and a site takes the one that its index offers.
"""

import importlib.metadata
import re
import sys
from pathlib import Path

from packaging.requirements import Requirement

HEADER = "# Written by envs/lock.py (make locks); edit {name}.in instead.\n"


def closure(requirements: list[str]) -> dict[str, str]:
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
        waiting += [Requirement(line) for line in distribution.requires or []]
    return found


def main(folder: Path) -> None:
    """Lock every .in file of a folder."""
    for stated in sorted(folder.glob("*.in")):
        lines = (line.split("#")[0].strip() for line in stated.read_text().splitlines())
        pins = sorted(f"{k}=={v}" for k, v in closure([line for line in lines if line]).items())
        text = HEADER.format(name=stated.stem) + "\n".join(pins) + "\n"
        stated.with_suffix(".txt").write_text(text)
        print(f"{stated.stem}: {len(pins)} packages")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
