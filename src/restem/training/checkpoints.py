"""Read and write policies as standard Hugging Face checkpoint directories."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from restem.errors import RestemError


def load_policy(path: Path) -> tuple[Any, Any]:
    """Load a model in float32 and its tokenizer from a directory; raises RestemError."""
    if (path / "adapter_config.json").exists():
        raise RestemError(
            "this is an adapter, not a model",
            str(path),
            "merge it into the model that it was trained on: restem merge",
        )
    try:
        model = AutoModelForCausalLM.from_pretrained(
            path, dtype=torch.float32, local_files_only=True
        )
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
