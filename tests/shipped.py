"""The configuration files that are part of the repository; a person may have others in config/."""

import subprocess
from pathlib import Path

from restem.config.strict_yaml import read_yaml

ROOT = Path(__file__).parents[1]
_NAMES = subprocess.run(
    ["git", "ls-files", "config"], cwd=ROOT, capture_output=True, text=True, check=True
).stdout.split()


def tracked(folder: str) -> list[Path]:
    """Return the YAML files in a folder of the clone."""
    paths = sorted(ROOT / name for name in _NAMES if name.endswith(".yaml"))
    return [path for path in paths if path.parent == ROOT / folder and path.is_file()]


def studies(*folders: str) -> list[Path]:
    """Return the study files in some folders of the clone."""
    paths = [path for folder in folders for path in tracked(folder)]
    return [path for path in paths if {"study", "extends"} & set(read_yaml(path))]
