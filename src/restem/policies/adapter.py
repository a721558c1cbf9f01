"""Adapters that stand alone: a policy of low-rank updates beside a note of the weights below it.

LoRA (Hu et al. 2021, arXiv 2106.09685, section 4.1) adds (alpha / r) B A to a weight matrix. Who
serves such a policy loads the weights below it, and either adds the updates or applies them as it
computes.
"""

import os
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from restem.artifacts.digests import file_digest
from restem.artifacts.store import read_json
from restem.errors import RestemError

CONFIG: Final = "adapter_config.json"
WEIGHTS: Final = "adapter_model.safetensors"
# What the adapter was trained on; peft records only a name, and a name may mean other weights.
BASE: Final = "base.json"
NAME: Final = "base_model_name_or_path"

_DOWN, _UP, _OF_PEFT = ".lora_A.weight", ".lora_B.weight", "base_model.model."


def base_of(checkpoint: Path) -> Path | None:
    """Return the whole checkpoint below an adapter, or None where the checkpoint is whole itself.

    Raises RestemError when it is not there, or has other weights than the adapter was trained on.
    """
    if not (checkpoint / CONFIG).is_file():
        return None
    name = read_json(checkpoint / CONFIG).get(NAME)
    if not name:
        raise RestemError(
            "this is an adapter, not a model",
            str(checkpoint),
            "merge it into the model that it was trained on: restem merge",
        )
    base = Path(os.path.normpath(checkpoint / name))
    if weights_of(base) != read_json(checkpoint / BASE):
        raise RestemError(
            "the weights that the adapter was trained on are not there, or are others now",
            f"{base}, below {checkpoint}",
            "run snakemake again, which makes both; moved by hand, keep them side by side",
        )
    return base


def weights_of(base: Path) -> dict[str, str]:
    """Return the digests of a checkpoint's weight files."""
    return {path.name: file_digest(path) for path in sorted(base.glob("*.safetensors"))}


def rank_of(adapter: Path) -> int:
    """Return the inner width of an adapter."""
    return int(read_json(adapter / CONFIG)["r"])


def load_model(checkpoint: Path, dtype: torch.dtype) -> Any:
    """Load a whole checkpoint, or the one below an adapter with the updates added in float32."""
    base = base_of(checkpoint)
    if base is None:
        return AutoModelForCausalLM.from_pretrained(checkpoint, dtype=dtype, local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, local_files_only=True)
    _add(model, checkpoint)
    return model.to(dtype)


def _add(model: Any, adapter: Path) -> None:
    config, updates = read_json(adapter / CONFIG), load_file(adapter / WEIGHTS)
    scale, parameters = config["lora_alpha"] / config["r"], dict(model.named_parameters())
    with torch.no_grad():
        for name in (name for name in updates if name.endswith(_DOWN)):
            stem = name.removesuffix(_DOWN)
            weight = parameters[f"{stem.removeprefix(_OF_PEFT)}.weight"]
            weight += (updates[stem + _UP] @ updates[name]) * scale
