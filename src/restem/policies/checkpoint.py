"""Read and write policies as standard Hugging Face checkpoint directories.

A checkpoint is a whole model, or an adapter of low-rank updates that records the weights below it.
LoRA (Hu et al. 2021, arXiv 2106.09685, section 4.1) adds (alpha / r) B A to a weight matrix. To use
such a policy, load the weights below it and either add the updates or apply them while computing.
"""

import copy
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file

from restem.artifacts.digests import file_digest
from restem.artifacts.files import read_json
from restem.errors import RestemError
from restem.policies.tokenizer import load_tokenizer
from restem.policies.weights import load_weights

ADAPTER_CONFIG: Final = "adapter_config.json"
ADAPTER_WEIGHTS: Final = "adapter_model.safetensors"
# Digests of the weights below; peft records only a name, which may come to mean other weights.
ADAPTER_BASE: Final = "base.json"
BASE_NAME: Final = "base_model_name_or_path"

_DOWN, _UP, _PEFT_PREFIX = ".lora_A.weight", ".lora_B.weight", "base_model.model."
_MORE_THAN_LORA: Final = (
    "use_rslora", "use_dora", "fan_in_fan_out", "rank_pattern", "alpha_pattern", "modules_to_save",
    "lora_bias", "bias",
)  # fmt: skip


def load_policy(path: Path) -> tuple[Any, Any]:
    """Load a model in float32 and its tokenizer from a directory; raises RestemError."""
    return load_model(path, torch.float32), load_tokenizer(path)


def save_policy(model: Any, tokenizer: Any, out: Path) -> None:
    """Write weights (safetensors), configurations and tokenizer; equal models give equal bytes."""
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


def load_model(checkpoint: Path, dtype: torch.dtype) -> Any:
    """Load a whole model; the updates of an adapter are added to the weights below in float32.

    Raises RestemError if weights are missing or left over.
    """
    base = base_of(checkpoint)
    if base is None:
        return load_weights(checkpoint, dtype=dtype)
    model = load_weights(base, dtype=torch.float32)
    config, updates = (
        read_json(checkpoint / ADAPTER_CONFIG),
        load_file(checkpoint / ADAPTER_WEIGHTS),
    )
    scale, parameters = config["lora_alpha"] / config["r"], dict(model.named_parameters())
    stems = sorted({name.removesuffix(_DOWN).removesuffix(_UP) for name in updates})
    unfit = [stem for stem in stems if not _fits(stem, updates, parameters)]
    if unfit or (plain := _not_plain(config)):
        what = f"no layer for {', '.join(unfit)}" if unfit else f"no way to apply {plain}"
        raise RestemError(
            f"the adapter cannot be added to the weights below: there is {what}",
            f"{checkpoint}, above {base}",
            "run the rule that makes it again, or set training.lora.merged: true",
        )
    with torch.no_grad():
        for stem in stems:
            weight = parameters[f"{stem.removeprefix(_PEFT_PREFIX)}.weight"]
            weight += (updates[stem + _UP] @ updates[stem + _DOWN]) * scale
    return model.to(dtype)


def with_dtype(model: Any, dtype: torch.dtype) -> Any:
    """Return a copy of a model whose weights have another type; the model itself if they have it.

    Buffers keep their type, as they do when a checkpoint is loaded in that type.
    """
    weights = list(model.parameters())
    if all(weight.dtype == dtype for weight in weights):
        return model
    converted = {
        id(weight): torch.nn.Parameter(weight.detach().to(dtype), requires_grad=False)
        for weight in weights
    }
    return copy.deepcopy(model, memo=converted)


def _fits(stem: str, updates: Mapping[str, Any], parameters: Mapping[str, Any]) -> bool:
    """Tell whether both matrices of an update are there, and their product has a weight's shape."""
    weight = parameters.get(f"{stem.removeprefix(_PEFT_PREFIX)}.weight")
    down, up = updates.get(stem + _DOWN), updates.get(stem + _UP)
    if weight is None or down is None or up is None:
        return False
    return bool((up.shape[0], down.shape[1]) == weight.shape and up.shape[1] == down.shape[0])


def _not_plain(config: Mapping[str, Any]) -> str:
    """Name the settings of peft that make an adapter more than (alpha / r) B A."""
    more = (name for name in _MORE_THAN_LORA if config.get(name) not in (None, False, "none", {}))
    return ", ".join(more)


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
