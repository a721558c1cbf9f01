"""Count the floating-point operations of a model's forward passes: the one way for all of them.

Only matrix products count, with two operations for a multiplication and addition (Kaplan et al.
2020, arXiv 2001.08361, table 1): weights by token, attention by pair of query and key, and the
output layer by token that is predicted. Of a mixture of experts all experts count, and a sliding
window counts as full attention: for those the figure is an upper bound. A training step is a
multiple of a forward pass (`restem.training.flops`); sampling is forward passes alone.
"""

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from restem.errors import RestemError

Number: TypeAlias = Any  # a number, or an array of numbers

_ADAPTER: Final = "adapter_config.json"  # names the folder of the whole model below it
_NAMES: Final = {  # of Hugging Face configurations, and how older models spell them
    "width": ("hidden_size", "n_embd", "d_model"),
    "heads": ("num_attention_heads", "n_head"),
    "layers": ("num_hidden_layers", "n_layer"),
}


@dataclass(frozen=True)
class Forward:
    """Operations of a forward pass: by token, by pair of query and key, by predicted token."""

    per_token: int = 0
    per_pair: int = 0
    per_target: int = 0

    @classmethod
    def of_shapes(cls, shapes: Mapping[str, Sequence[int]], config: Mapping[str, Any]) -> "Forward":
        """Read the shapes of weights and a configuration; all weights by token where it has none.

        Embeddings are looked up. The output layer is as large, whether or not it is the same.
        """
        sizes = {name: _first(config, names) for name, names in _NAMES.items()}
        vocabulary = config.get("vocab_size")
        if vocabulary is None or None in sizes.values():
            return cls(2 * sum(map(math.prod, shapes.values())))
        tables = (vocabulary, sizes["width"])
        matrices = [shape for shape in shapes.values() if len(shape) >= 2]
        inner = sum(math.prod(shape) for shape in matrices if tuple(shape) != tables)
        width = sizes["heads"] * (config.get("head_dim") or sizes["width"] // sizes["heads"])
        return cls(2 * inner, 4 * width * sizes["layers"], 2 * math.prod(tables))

    @classmethod
    def of_checkpoint(cls, folder: Path) -> "Forward":
        """Read a checkpoint; of an adapter, the model below it, without the adapter's own work."""
        whole = whole_model(folder)
        shapes: dict[str, Sequence[int]] = {}
        for path in sorted(whole.glob("*.safetensors")):
            shapes |= shapes_in(path)
        stated = whole / "config.json"
        config = json.loads(stated.read_text()) if stated.is_file() else {}
        return cls.of_shapes(shapes, config.get("text_config", config))

    def prompt(self, tokens: Number) -> Number:
        """Return the operations of computing a prompt, or each of several."""
        return self.per_token * tokens + self.per_pair * causal(tokens)

    def completion(self, prompt: Number, tokens: Number) -> Number:
        """Return the operations of sampling some tokens after a prompt that is computed."""
        pairs = prompt * tokens + causal(tokens)
        return (self.per_token + self.per_target) * tokens + self.per_pair * pairs


def causal(length: Number) -> Number:
    """Return the pairs of query and key in a text whose tokens see those before them."""
    return length * (length + 1) / 2


def whole_model(folder: Path) -> Path:
    """Return the folder of the weights below an adapter; that of a whole model itself."""
    stated = folder / _ADAPTER
    if not stated.is_file():
        return folder
    name = json.loads(stated.read_text()).get("base_model_name_or_path") or ""
    below = Path(os.path.normpath(folder / name))
    return below if name and below.is_dir() else folder


def shapes_in(weights: Path) -> dict[str, list[int]]:
    """Return the shapes in a safetensors file, from its header alone.

    Raises RestemError if the file has no such header.
    """
    with weights.open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
        header = stream.read(size) if size < weights.stat().st_size else b""
    try:
        entries = json.loads(header).items()
        return {name: entry["shape"] for name, entry in entries if name != "__metadata__"}
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise RestemError(
            "this is no file of weights", str(weights), "run the rule that makes it again"
        ) from problem


def _first(config: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((config[name] for name in names if config.get(name)), None)
