"""Read and write policies as standard Hugging Face checkpoint directories.

A checkpoint is a whole model, or an adapter of low-rank updates that records the weights below it.
LoRA (Hu et al. 2021, arXiv 2106.09685, section 4.1) adds (alpha / r) B A to a weight matrix. To use
such a policy, load the weights below it and either add the updates or apply them while computing.
"""

import os
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from restem.artifacts.digests import file_digest
from restem.artifacts.files import read_json
from restem.errors import RestemError

ADAPTER_CONFIG: Final = "adapter_config.json"
ADAPTER_WEIGHTS: Final = "adapter_model.safetensors"
# Digests of the weights below; peft records only a name, which may come to mean other weights.
ADAPTER_BASE: Final = "base.json"
BASE_NAME: Final = "base_model_name_or_path"

_DOWN, _UP, _PEFT_PREFIX = ".lora_A.weight", ".lora_B.weight", "base_model.model."


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
    """Write weights (safetensors), configurations and tokenizer; equal models give equal bytes."""
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


def load_model(checkpoint: Path, dtype: torch.dtype) -> Any:
    """Load a whole model; the updates of an adapter are added to the weights below in float32."""
    base = base_of(checkpoint)
    if base is None:
        return AutoModelForCausalLM.from_pretrained(checkpoint, dtype=dtype, local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, local_files_only=True)
    config, updates = (
        read_json(checkpoint / ADAPTER_CONFIG),
        load_file(checkpoint / ADAPTER_WEIGHTS),
    )
    scale, parameters = config["lora_alpha"] / config["r"], dict(model.named_parameters())
    with torch.no_grad():
        for name in (name for name in updates if name.endswith(_DOWN)):
            stem = name.removesuffix(_DOWN)
            weight = parameters[f"{stem.removeprefix(_PEFT_PREFIX)}.weight"]
            weight += (updates[stem + _UP] @ updates[name]) * scale
    return model.to(dtype)


def base_of(checkpoint: Path) -> Path | None:
    """Return the whole checkpoint below an adapter, or None if the checkpoint is whole itself.

    Raises RestemError if it is missing, or has other weights than the adapter was trained on.
    """
    if not (checkpoint / ADAPTER_CONFIG).is_file():
        return None
    name = read_json(checkpoint / ADAPTER_CONFIG).get(BASE_NAME)
    if not name:
        raise RestemError(
            "this is an adapter, not a model",
            str(checkpoint),
            "merge it into the model that it was trained on: restem merge",
        )
    base = Path(os.path.normpath(checkpoint / name))
    if weight_digests(base) != read_json(checkpoint / ADAPTER_BASE):
        raise RestemError(
            "the weights that the adapter was trained on are missing or have changed",
            f"{base}, below {checkpoint}",
            "run snakemake again, which makes both; if you moved them, keep them side by side",
        )
    return base


def weight_digests(checkpoint: Path) -> dict[str, str]:
    """Return the digests of a checkpoint's weight files by name."""
    return {path.name: file_digest(path) for path in sorted(checkpoint.glob("*.safetensors"))}


def rank_of(adapter: Path) -> int:
    """Return the rank of an adapter's updates."""
    return int(read_json(adapter / ADAPTER_CONFIG)["r"])
