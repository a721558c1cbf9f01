"""Keys and values of a batch's rows, kept in place, and attention over a prefix that rows share.

Attention over [shared prefix | a row's own tokens] is one softmax over the scores of both parts.
The prefix is stored once and multiplied with the queries of all rows at once, so neither memory nor
bandwidth grows with prefix x rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import torch

from restem.libraries import transformers

SHARED_ATTENTION: Final = "restem_shared_prefix"
# Arguments that change what attention computes; `shared_attention` does not implement them.
_UNSUPPORTED: Final = ("softcap", "s_aux", "position_bias")
_BLOCK_ROWS: Final = 64


class RowLayer(transformers.cache_utils.CacheLayerMixin):  # type: ignore[misc]
    """One layer's keys and values, [rows, heads, capacity, size], written in place."""

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity = capacity
        self.length = 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Allocate as many rows as the first keys have."""
        self.keys = _allocate(key_states, len(key_states), self.capacity)
        self.values = _allocate(value_states, len(value_states), self.capacity)
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append columns to every row and return views of all columns so far."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start, self.length = self.length, self.length + key_states.shape[-2]
        self.keys[:, :, start : self.length] = key_states
        self.values[:, :, start : self.length] = value_states
        return self.keys[:, :, : self.length], self.values[:, :, : self.length]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Return how many columns the mask spans, and the first of them."""
        return self.length + query_length, 0

    def get_seq_length(self) -> int:
        """Return the number of columns in use."""
        return self.length

    def get_max_length(self) -> int:
        """Return the number of columns that are allocated."""
        return self.capacity


class RowCache(transformers.cache_utils.Cache):  # type: ignore[misc]
    """The layers of a batch; all rows have the same number of columns."""

    def __init__(self, layers: int, capacity: int) -> None:
        super().__init__(layers=[RowLayer(capacity) for _ in range(layers)])

    @property
    def full(self) -> bool:
        """Tell whether there is no room for another column."""
        return bool(self.layers[0].length == self.layers[0].capacity)

    def reserve(
        self, rows: int, columns: int, layers: list[transformers.cache_utils.CacheLayerMixin]
    ) -> None:
        """Allocate empty rows with the shapes of some layers and so many masked columns."""
        for layer, like in zip(self.layers, layers, strict=True):
            layer.length = columns
            layer.keys = _allocate(like.keys, rows, layer.capacity)
            layer.values = _allocate(like.values, rows, layer.capacity)
            # Masked columns are still multiplied, and zero times not-a-number is not zero.
            layer.keys[:, :, :columns], layer.values[:, :, :columns] = 0, 0
            layer.is_initialized = True

    def put(self, parts: Sequence[tuple["RowCache", torch.Tensor]], slots: torch.Tensor) -> None:
        """Copy the rows of each part's index (repeats allowed) into the last columns of slots."""
        start = 0
        for cache, index in parts:
            target, start = slots[start : start + len(index)], start + len(index)
            for layer, part in zip(self.layers, cache.layers, strict=True):
                columns = slice(layer.length - part.length, layer.length)
                layer.keys[target, :, columns] = part.keys[index, :, : part.length]
                layer.values[target, :, columns] = part.values[index, :, : part.length]

    def drop(self, columns: int) -> int:
        """Drop the first columns if that saves enough to pay for the move; return how many."""
        length = int(self.layers[0].length)
        if columns <= 0 or columns < length // 4:
            return 0
        for layer in self.layers:
            for states in (layer.keys, layer.values):
                _move_columns(states, columns, length)
            layer.length = length - columns
        return columns

    def keep(self, index: torch.Tensor) -> None:
        """Move the rows of an ascending index to the front, in place, and drop the others."""
        for layer in self.layers:
            layer.keys = _pack_rows(layer.keys, index, layer.length)
            layer.values = _pack_rows(layer.values, index, layer.length)

    def grow(self, columns: int) -> None:
        """Allocate more columns."""
        for layer in self.layers:
            layer.capacity = layer.length + columns
            layer.keys = _extend(layer.keys, layer.length, layer.capacity)
            layer.values = _extend(layer.values, layer.length, layer.capacity)


def _pack_rows(states: torch.Tensor, index: torch.Tensor, length: int) -> torch.Tensor:
    # Ascending: a block only reads rows that no earlier block has overwritten. Blocks keep the
    # copy small; a new tensor would cost more in page faults than the move.
    for start in range(0, len(index), _BLOCK_ROWS):
        block = index[start : start + _BLOCK_ROWS]
        states[start : start + len(block), :, :length] = states[:, :, :length][block]
    return states[: len(index)]


def _move_columns(states: torch.Tensor, columns: int, length: int) -> None:
    for block in torch.split(states, _BLOCK_ROWS):
        block[:, :, : length - columns] = block[:, :, columns:length].clone()


def _extend(states: torch.Tensor, length: int, capacity: int) -> torch.Tensor:
    new = _allocate(states, len(states), capacity)
    new[:, :, :length] = states[:, :, :length]
    return new


def _allocate(like: torch.Tensor, rows: int, capacity: int) -> torch.Tensor:
    return like.new_empty((rows, like.shape[1], capacity, like.shape[3]))


@dataclass
class SharedPrefix:
    """A prefix's keys and values per layer, [heads, tokens, size], and which layers read them.

    windows: how many tokens those layers see that do not see all of a row.
    """

    keys: list[torch.Tensor]
    values: list[torch.Tensor]
    read_by: set[int] = field(default_factory=set)
    windows: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, cache: RowCache) -> "SharedPrefix":
        """Take over the only row of a cache."""
        layers = cache.layers
        return cls([layer.keys[0] for layer in layers], [layer.values[0] for layer in layers])

    @property
    def tokens(self) -> int:
        """Return the number of tokens of the prefix."""
        return int(self.keys[0].shape[1])


class UnknownAttentionError(Exception):
    """A layer's attention is not plain softmax attention."""


def shared_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    shared_prefix: SharedPrefix,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """Attend to the shared prefix and to the row's own keys under one softmax.

    Windows are recorded, but not applied: rows must not be longer.
    query [rows, heads, queries, size]; key, value [rows, key heads, columns, size];
    attention_mask: added to the scores of the own columns, [rows, 1, queries, columns] or None.
    Returns [rows, queries, heads, size]. Raises UnknownAttentionError.
    """
    if any(others.get(name) is not None for name in _UNSUPPORTED):
        raise UnknownAttentionError
    shared_prefix.read_by.add(module.layer_idx)
    if (window := others.get("sliding_window")) is not None:
        shared_prefix.windows.add(window)
    prefix_keys = shared_prefix.keys[module.layer_idx]
    prefix_values = shared_prefix.values[module.layer_idx]
    groups = query.shape[1] // key.shape[1]
    # Query heads that share a key head become more queries of that head: no repeated keys.
    grouped = (query * scaling).reshape(len(query), key.shape[1], -1, query.shape[3])
    own_scores = grouped @ key.mT
    if attention_mask is not None:
        own_scores = own_scores + attention_mask.repeat(1, 1, groups, 1)
    scores = torch.cat([_times_shared(grouped, prefix_keys.mT), own_scores], -1)
    weights = scores.softmax(-1, dtype=torch.float32).to(query.dtype)
    split = prefix_keys.shape[1]
    result = _times_shared(weights[..., :split], prefix_values) + weights[..., split:] @ value
    return result.reshape(*query.shape[:3], -1).transpose(1, 2), None


def _times_shared(states: torch.Tensor, shared: torch.Tensor) -> torch.Tensor:
    """Multiply [rows, heads, queries, n] with one [n, m] per head, as one product per head."""
    product = states.transpose(0, 1).flatten(1, 2) @ shared
    return product.view(len(shared), len(states), -1, shared.shape[2]).transpose(0, 1)


transformers.AttentionInterface.register(SHARED_ATTENTION, shared_attention)
