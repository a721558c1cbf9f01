"""Read and write policies as standard Hugging Face checkpoint directories."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer

from restem.errors import RestemError
from restem.policies.adapter import load_model


def load_policy(path: Path) -> tuple[Any, Any]:
    """Load a model in float32 and its tokenizer from a directory; raises RestemError."""
    try:
        model = load_model(path, torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
    except (OSError, ValueError) as error:
        raise RestemError(
            f"the checkpoint cannot be loaded: {error}",
            str(path),
            "point to a directory with config.json, safetensors weights and a tokenizer",
        ) from error
    return model, tokenizer


def save_policy(model: Any, tokenizer: Any, out: Path) -> None:
    """Write weights (safetensors), configurations and tokenizer; the bytes follow from them."""
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
