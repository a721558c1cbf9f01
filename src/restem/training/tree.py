"""The tokens of one row as a tree: who attends to whom, in parts that kernels can compute."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import torch

# Finite, so that a query whose keys are all masked gets weight 0, not NaN, when parts are combined.
MASKED: Final = -1e30

States = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Part:
    """Let queries [first, end) attend to keys [first, end); far: of the prefix that ran before."""

    queries: tuple[int, int]
    keys: tuple[int, int]
    causal: bool = False
    far: bool = False


@dataclass(eq=False)
class Mask:
    """What a sliding window hides of a part. queries, keys: their positions."""

    queries: torch.Tensor
    keys: torch.Tensor
    causal: bool
    window: int

    def block(self, first: int, end: int, seen: int) -> torch.Tensor:
        """Return what to add to scores of queries [first, end) and the first `seen` keys."""
        queries, keys = self.queries[first:end].unsqueeze(1), self.keys[:seen]
        hidden = queries - keys >= self.window
        if self.causal:
            hidden = hidden | (keys > queries)
        return torch.zeros(hidden.shape, device=keys.device).masked_fill_(hidden, MASKED)

    @cached_property
    def whole(self) -> torch.Tensor:
        """Return what to add to all scores [queries, keys]."""
        return self.block(0, len(self.queries), len(self.keys))


@dataclass(eq=False)
class Tree:
    """Who attends to whom in one row, and what its layers share.

    parts: those with `causal` come first and cover every token once. positions: of the row's tokens
    [tokens]. far: keys and values by layer, [1, heads, tokens, size], of a prefix that ran before.
    kept: if given, filled with the row's own keys and values by layer. read_by: layers that used
    the tree. calls: see `restem.training.kernels`.
    """

    parts: tuple[Part, ...]
    positions: torch.Tensor
    far: Mapping[int, States] = field(default_factory=dict)
    kept: dict[int, States] | None = None
    read_by: set[int] = field(default_factory=set)
    masks: dict[tuple[Part, int], Mask | None] = field(default_factory=dict)
    calls: dict[Any, Any] = field(default_factory=dict)

    def mask(self, part: Part, window: int | None) -> Mask | None:
        """Return what a sliding window hides of a part; None if nothing."""
        if window is None:
            return None
        if (part, window) not in self.masks:
            self.masks[part, window] = self._window_mask(part, window)
        return self.masks[part, window]

    def _window_mask(self, part: Part, window: int) -> Mask | None:
        queries, own = (self.positions[slice(*span)] for span in (part.queries, part.keys))
        keys = torch.arange(*part.keys, device=own.device) if part.far else own
        hides = bool(queries.max() - keys.min() >= window)
        return Mask(queries, keys, part.causal, window) if hides else None
