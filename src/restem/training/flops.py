"""Count the floating-point operations of training passes, from shapes alone.

A pass counts as in `restem.policies.flops`. A training step is as much as three forward passes, two
with frozen weights, and one more where activations are computed again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from restem.config.training import Training
from restem.policies.flops import Forward
from restem.training.packs import Pack, Pass


@dataclass(frozen=True)
class TrainingFlops:
    """Operations of a forward pass; forwards: how many forward passes a training pass equals."""

    per_token: int
    per_pair: int
    per_target: int
    forwards: int

    @classmethod
    def of(cls, model: Any, settings: Training) -> "TrainingFlops":
        """Read the shapes of a model; adapters need no gradients of frozen weights."""
        shapes = {name: tuple(weights.shape) for name, weights in model.named_parameters()}
        config = model.config.get_text_config()
        named = ("hidden_size", "num_attention_heads", "num_hidden_layers", "vocab_size")
        stated = {name: getattr(config, name, None) for name in (*named, "head_dim")}
        forwards = (2 if settings.lora else 3) + settings.gradient_checkpointing
        forward = Forward.of_shapes(shapes, stated)
        return cls(forward.per_token, forward.per_pair, forward.per_target, forwards)

    def step(self, packs: Sequence[Pack]) -> int:
        """Return the operations of a step, forward and backward."""
        return self.forwards * sum(self._pack(pack) for pack in packs)

    def _pack(self, pack: Pack) -> int:
        length = len(pack.prefix)
        prefix = self.per_token * length + self.per_pair * _causal(length)
        return prefix + sum(
            self.per_token * one_pass.ids.numel()
            + self.per_pair * attention_pairs(one_pass)
            + self.per_target * len(one_pass.labels)
            for one_pass in pack.passes
        )


def attention_pairs(one_pass: Pass) -> int:
    """Count the pairs of query and key that a pass's attention computes."""
    rows, columns = one_pass.ids.shape
    if not one_pass.parts:
        return int(rows * _causal(columns))
    total = 0
    for part in one_pass.parts:
        queries = part.queries[1] - part.queries[0]
        total += _causal(queries) if part.causal else queries * (part.keys[1] - part.keys[0])
    return total


def _causal(length: int) -> int:
    return length * (length + 1) // 2
