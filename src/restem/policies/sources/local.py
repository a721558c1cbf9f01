"""A base model from a directory that `save_pretrained` wrote."""

import shutil
from pathlib import Path

from restem.config.models import LocalModel
from restem.errors import RestemError

WANTED = ("*.safetensors", "*.json", "tokenizer*", "*.model", "*.txt", "*.jinja")


def files(source: LocalModel) -> list[Path]:
    """List the checkpoint's files."""
    return checkpoint_files(source.directory)


def fetch(source: LocalModel, checkpoint: Path) -> None:
    """Copy the checkpoint."""
    copy(source.directory, checkpoint)


def checkpoint_files(folder: Path) -> list[Path]:
    """List the files of a Hugging Face checkpoint that belong to it, sorted by name."""
    return sorted({file for pattern in WANTED for file in folder.glob(pattern)})


def copy(folder: Path, checkpoint: Path) -> None:
    """Copy a checkpoint. Raises RestemError where there is none, or none in safetensors."""
    found = checkpoint_files(folder)
    if folder / "config.json" not in found:
        raise RestemError(
            "the directory holds no Hugging Face checkpoint: config.json is missing",
            str(folder),
            "name the directory that `save_pretrained` wrote",
        )
    if not any(file.suffix == ".safetensors" for file in found):
        raise RestemError(
            "the checkpoint has no safetensors weights",
            str(folder),
            "convert it: AutoModelForCausalLM.from_pretrained(...).save_pretrained(...)",
        )
    for file in found:
        shutil.copyfile(file, checkpoint / file.name)
