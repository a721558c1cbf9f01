"""In which container image this process runs: a fact that artifacts record, not part of a recipe.

What an artifact is made of are the locked packages. An image is one way to have them.
"""

import os
from pathlib import Path

from restem.artifacts.files import read_json

CONTAINER = "APPTAINER_CONTAINER"  # apptainer sets it in a container


def image_in_use() -> str | None:
    """Return the image that this process runs in, as `image_label` writes it; None outside."""
    path = os.environ.get(CONTAINER)
    return image_label(Path(path)) if path else None


def image_label(path: Path) -> str:
    """Return the name of an image and, if it has a record beside it, its sha256: `name@sha256`."""
    record = path.with_suffix(".json")
    return f"{path.stem}@{read_json(record)['sha256']}" if record.is_file() else path.stem


def in_words(label: str | None) -> str:
    """Write the label of an image for a person."""
    if label is None:
        return "outside images"
    name, _, sha256 = label.partition("@")
    return f"in {name}" + (f" (sha256 {sha256[:8]})" if sha256 else "")
