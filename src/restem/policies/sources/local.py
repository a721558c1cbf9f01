"""A base model from a directory that `save_pretrained` wrote."""

import shutil
from pathlib import Path

from restem.config.models import LocalModel
from restem.errors import RestemError

PATTERNS = ("*.safetensors", "*.json", "tokenizer*", "*.model", "*.txt", "*.jinja")


def files(source: LocalModel) -> list[Path]:
    """Return the checkpoint's files."""
    return checkpoint_files(source.directory)


def fetch(source: LocalModel, checkpoint: Path) -> None:
    """Copy the checkpoint."""
    copy(source.directory, checkpoint)


def checkpoint_files(folder: Path) -> list[Path]:
    """Return the files of a folder that belong to a Hugging Face checkpoint, sorted by name."""
    return sorted({file for pattern in PATTERNS for file in folder.glob(pattern)})


def copy(folder: Path, checkpoint: Path) -> None:
    """Copy a checkpoint. Raises RestemError if it is missing, or not in safetensors."""
    paths = checkpoint_files(folder)
    if folder / "config.json" not in paths:
        raise RestemError(
            "the directory holds no Hugging Face checkpoint: config.json is missing",
            str(folder),
            "point to a directory that `save_pretrained` wrote",
        )
    if not any(file.suffix == ".safetensors" for file in paths):
        raise RestemError(
            "the checkpoint has no safetensors weights",
            str(folder),
            "convert it: AutoModelForCausalLM.from_pretrained(...).save_pretrained(...)",
        )
    for file in paths:
        shutil.copyfile(file, checkpoint / file.name)
