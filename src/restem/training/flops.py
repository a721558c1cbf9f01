"""Count the floating-point operations of training passes, from shapes alone.

Only matrix products count, two operations a multiplication and addition (Kaplan et al. 2020,
arXiv 2001.08361, table 1). Of a mixture of experts all experts count, and a sliding window counts
as if it were open: for those the figure is an upper bound.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from restem.config.training import Training
from restem.training.packs import Pack, Pass


@dataclass(frozen=True)
class Cost:
    """Hold operations of a forward pass, and how many forward passes training amounts to."""

    per_token: int
    per_pair: int
    per_target: int
    forwards: int

    @classmethod
    def of(cls, model: Any, settings: Training) -> "Cost":
        """Read the shapes of a model; adapters need no gradients of frozen weights."""
        config = model.config.get_text_config()
        output = model.get_output_embeddings().weight
        ends = {id(output), id(model.get_input_embeddings().weight)}
        inner = sum(p.numel() for p in model.parameters() if p.ndim >= 2 and id(p) not in ends)
        head_size = getattr(config, "head_dim", None)
        width = config.num_attention_heads * (
            head_size or config.hidden_size // config.num_attention_heads
        )
        forwards = (2 if settings.lora else 3) + settings.gradient_checkpointing
        return cls(2 * inner, 4 * width * config.num_hidden_layers, 2 * output.numel(), forwards)

    def step(self, packs: Sequence[Pack]) -> int:
        """Return the operations of a step, forward and backward."""
        return self.forwards * sum(self._pack(pack) for pack in packs)

    def _pack(self, pack: Pack) -> int:
        length = len(pack.prefix)
        prefix = self.per_token * length + self.per_pair * _causal(length)
        return prefix + sum(
            self.per_token * one.ids.numel()
            + self.per_pair * pairs(one)
            + self.per_target * len(one.labels)
            for one in pack.passes
        )


def pairs(one: Pass) -> int:
    """Count the pairs of query and key that a pass's attention computes."""
    rows, columns = one.ids.shape
    if not one.parts:
        return int(rows * _causal(columns))
    total = 0
    for part in one.parts:
        queries = part.queries[1] - part.queries[0]
        total += _causal(queries) if part.causal else queries * (part.keys[1] - part.keys[0])
    return total


def _causal(length: int) -> int:
    return length * (length + 1) // 2
