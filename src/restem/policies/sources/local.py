"""A base model from a directory that `save_pretrained` wrote."""

import json
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
    check_weights(folder)
    for file in paths:
        shutil.copyfile(file, checkpoint / file.name)


def check_weights(folder: Path) -> int:
    """Return the number of files with weights. Raises RestemError if one is missing or cut short.

    Each file states in its header how long it is, and an index names the files of large models.
    """
    weights = {file.name: file for file in folder.glob("*.safetensors")}
    problems = [f"{name} is missing" for name in sorted(_indexed(folder) - set(weights))]
    problems += [f"{name} is cut short" for name, f in sorted(weights.items()) if _is_short(f)]
    if problems:
        raise RestemError(
            f"the checkpoint is not complete: {', '.join(problems[:3])}"
            + (f" and {len(problems) - 3} more" if len(problems) > 3 else ""),
            str(folder),
            "copy or download it again",
        )
    return len(weights)


def _indexed(folder: Path) -> set[str]:
    """Return the names of the files that an index lists; none for models without an index."""
    index = folder / "model.safetensors.index.json"
    if not index.exists():
        return set()
    try:
        return set(json.loads(index.read_text())["weight_map"].values())
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise RestemError(
            f"the index of the weights cannot be read: {error}", str(index), "fetch it again"
        ) from error


def _is_short(file: Path) -> bool:
    """Return whether a safetensors file ends before its last tensor, or has no header."""
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            size = file.stat().st_size - 8 - length
            header = json.loads(stream.read(length) if size >= 0 else b"")
            ends = [t["data_offsets"][1] for k, t in header.items() if k != "__metadata__"]
    except (ValueError, AttributeError, KeyError, TypeError):
        return True
    return size < max(ends, default=0)
