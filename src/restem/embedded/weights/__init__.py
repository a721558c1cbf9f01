"""The accepted base models, one folder per size; each `recipe.json` records how it was made."""

import json
import shutil
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RECIPE = "recipe.json"


def sizes() -> list[str]:
    """List the sizes whose weights are shipped."""
    return sorted(path.parent.name for path in HERE.glob(f"*/{RECIPE}"))


def recipe(size: str) -> dict[str, Any]:
    """Read how a shipped model was made, and the figures of all seeds that were tried."""
    record: dict[str, Any] = json.loads((HERE / size / RECIPE).read_text("utf-8"))
    return record


def unpack(size: str, out: Path) -> None:
    """Copy a shipped checkpoint, without its `recipe.json`, to a folder that need not exist."""
    if size not in sizes():
        raise FileNotFoundError(f"no weights of size {size!r} are shipped, only {sizes()}")
    shutil.copytree(HERE / size, out, ignore=shutil.ignore_patterns(RECIPE), dirs_exist_ok=True)
