"""A base model from a directory that `save_pretrained` wrote."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from restem.config.models import LocalModel
from restem.errors import RestemError

TOKENIZERS: Final = ("tokenizer.json", "*.model", "vocab.json", "vocab.txt")
SHARD: Final = re.compile(r"-\d+-of-\d+\.safetensors$")
PATTERNS: Final = ("*.safetensors", "*.json", "tokenizer*", "*.model", "*.txt", "*.jinja")


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
    """Copy a checkpoint. Raises RestemError with everything that it lacks."""
    problems = checkpoint_problems(folder)
    if problems:
        raise RestemError(
            "the directory holds no complete Hugging Face checkpoint: " + "; ".join(problems),
            str(folder),
            "point to a directory that `save_pretrained` wrote, or fetch what is missing",
        )
    for file in checkpoint_files(folder):
        shutil.copyfile(file, checkpoint / file.name)


def checkpoint_problems(folder: Path) -> list[str]:
    """Describe what a folder lacks to be a checkpoint; reads no weights."""
    if not folder.is_dir():
        return ["there is no such directory"]
    problems = [*_bad_config(folder), *_bad_weights(folder)]
    if not any(any(folder.glob(pattern)) for pattern in TOKENIZERS):
        problems.append("it has no tokenizer: tokenizer.json, *.model, vocab.json or vocab.txt")
    return problems


def _bad_config(folder: Path) -> Iterator[str]:
    try:
        content = json.loads((folder / "config.json").read_text())
    except FileNotFoundError:
        yield "config.json is missing"
    except (OSError, ValueError) as problem:
        yield f"config.json cannot be read: {problem}"
    else:
        if not isinstance(content, dict) or not content:
            yield "config.json holds no configuration"


def _bad_weights(folder: Path) -> Iterator[str]:
    files = sorted(folder.glob("*.safetensors"))
    index = folder / "model.safetensors.index.json"
    shards = [file for file in files if SHARD.search(file.name)]
    if not files and not index.exists():
        yield (
            "it has no safetensors weights; convert others with "
            "AutoModelForCausalLM.from_pretrained(...).save_pretrained(...)"
        )
    elif index.exists():
        yield from _missing_shards(folder, index)
    elif shards and len(shards) == len(files):
        yield f"{index.name}, which lists the shards of the weights, is missing"
    for file in files:
        yield from _damaged(file)


def _missing_shards(folder: Path, index: Path) -> Iterator[str]:
    try:
        named = set(json.loads(index.read_text())["weight_map"].values())
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as problem:
        yield f"{index.name} cannot be read: {problem}"
        return
    missing = sorted(str(name) for name in named if not (folder / str(name)).is_file())
    if missing:
        yield f"{index.name} names files that are missing: {', '.join(missing)}"


def _damaged(file: Path) -> Iterator[str]:
    """Compare the size of a file of weights with what its own header states."""
    try:
        with file.open("rb") as content:
            length = int.from_bytes(content.read(8), "little")
            size = file.stat().st_size
            header = json.loads(content.read(min(length, size))) if 0 < length < size else None
        if header is None:
            raise ValueError("no header")
        ends = [t["data_offsets"][1] for name, t in header.items() if name != "__metadata__"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        yield f"{file.name} is no safetensors file, perhaps a pointer of Git LFS; fetch it again"
        return
    whole = 8 + length + max(ends, default=0)
    if size != whole:
        yield f"{file.name} has {size} bytes instead of {whole}; fetch it again"
