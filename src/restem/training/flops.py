"""Count the floating-point operations of training passes, from shapes alone.

Only matrix products count, with two operations for a multiplication and addition (Kaplan et al.
2020, arXiv 2001.08361, table 1). Of a mixture of experts all experts count, and a sliding window
counts as full attention: for those the figure is an upper bound.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from restem.config.training import Training
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
        config = model.config.get_text_config()
        output = model.get_output_embeddings().weight
        embeddings = {id(output), id(model.get_input_embeddings().weight)}
        inner = sum(
            p.numel() for p in model.parameters() if p.ndim >= 2 and id(p) not in embeddings
        )
        heads = config.num_attention_heads
        width = heads * (getattr(config, "head_dim", None) or config.hidden_size // heads)
        forwards = (2 if settings.lora else 3) + settings.gradient_checkpointing
        return cls(2 * inner, 4 * width * config.num_hidden_layers, 2 * output.numel(), forwards)

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
