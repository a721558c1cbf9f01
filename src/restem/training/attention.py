"""Attention over a tree of tokens that lie in one row, each node attending to its ancestors.

A node's queries see their own node causally and every ancestor in full. Each such pair of ranges is
one *part*; the parts of a query are joined by their log-sum-exps, so nothing is computed that a
mask would throw away. The backward pass of a part needs only the joined output and log-sum-exp
(Dao et al. 2022, FlashAttention, section 3.1), which makes it exact part by part.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from transformers import AttentionInterface

TREE_ATTENTION: Final = "restem_tree"
# Arguments that change what attention computes and that no part knows.
_UNKNOWN: Final = ("s_aux", "position_bias", "head_mask")
# Finite, so that a query whose keys are all masked has weight 0 and not NaN after the joining.
_MASKED: Final = -1e30

States = tuple[torch.Tensor, torch.Tensor]


class UnknownAttentionError(Exception):
    """Say that a layer's attention is not what tree attention computes."""


@dataclass(frozen=True)
class Part:
    """Let queries [first, end) attend to keys [first, end), of the row or of the far prefix."""

    queries: tuple[int, int]
    keys: tuple[int, int]
    causal: bool = False
    far: bool = False


@dataclass(eq=False)
class Tree:
    """Describe who attends to whom in one row, and hold what its layers leave or find.

    parts: those with `causal` come first and cover every token once. positions: of the row's
    tokens [tokens]. far: keys and values by layer, [1, heads, tokens, size], of a prefix that ran
    before. kept: filled with the row's own keys and values by layer, if it is given.
    """

    parts: tuple[Part, ...]
    positions: torch.Tensor
    far: Mapping[int, States] = field(default_factory=dict)
    kept: dict[int, States] | None = None
    read_by: set[int] = field(default_factory=set)
    masks: dict[tuple[Part, int], torch.Tensor | None] = field(default_factory=dict)

    def mask(self, part: Part, window: int | None) -> torch.Tensor | None:
        """Return what to add to a part's scores [queries, keys] under a sliding window, if any."""
        if window is None:
            return None
        if (part, window) not in self.masks:
            self.masks[part, window] = self._windowed(part, window)
        return self.masks[part, window]

    def _windowed(self, part: Part, window: int) -> torch.Tensor | None:
        places = self.positions[slice(*part.queries)].unsqueeze(1)
        own = self.positions[slice(*part.keys)]
        keys = torch.arange(*part.keys, device=own.device) if part.far else own
        hidden = places - keys >= window
        if not bool(hidden.any()):
            return None
        if part.causal:
            hidden = hidden | (keys > places)
        return torch.zeros(hidden.shape, device=own.device).masked_fill_(hidden, _MASKED)


@dataclass(frozen=True)
class _Scores:
    """How one part's scores are computed besides its queries and keys."""

    scale: float
    cap: float | None
    causal: bool
    mask: torch.Tensor | None


def tree_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    tree: Tree,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """Attend along the tree; query [1, heads, tokens, size], key and value [1, key heads, ...].

    Returns [1, tokens, heads, size]. Raises UnknownAttentionError.
    """
    odd = dropout or attention_mask is not None or any(others.get(n) is not None for n in _UNKNOWN)
    if odd:
        raise UnknownAttentionError
    layer = module.layer_idx
    tree.read_by.add(layer)
    query, key = query.to(value.dtype), key.to(value.dtype)
    # A checkpointed layer runs twice; the graph hangs on the first run's states.
    if tree.kept is not None and layer not in tree.kept:
        tree.kept[layer] = (key, value)
    far = tree.far.get(layer, (None, None))
    settings = (tree, scaling, softcap, sliding_window)
    out = _TreeAttention.apply(query, key, value, *far, *settings)  # type: ignore[no-untyped-call]
    return out.transpose(1, 2), None


class _TreeAttention(torch.autograd.Function):
    """Join the parts' outputs; see the module's text."""

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        far_key: torch.Tensor | None,
        far_value: torch.Tensor | None,
        tree: Tree,
        scale: float,
        cap: float | None,
        window: int | None,
    ) -> torch.Tensor:
        wide = torch.promote_types(query.dtype, torch.float32)
        out = torch.empty(query.shape, dtype=wide, device=query.device)
        lse = torch.empty(query.shape[:3], dtype=wide, device=query.device)
        with torch.autocast(query.device.type, enabled=False):
            for part in tree.parts:
                k, v = (far_key, far_value) if part.far else (key, value)
                scores = _Scores(scale, cap, part.causal, tree.mask(part, window))
                found = _forward(
                    _cut(query, part.queries), _cut(k, part.keys), _cut(v, part.keys), scores
                )
                _join(_cut(out, part.queries), _cut(lse, part.queries), *found, part.causal)
        out = out.to(query.dtype)
        ctx.save_for_backward(query, key, value, far_key, far_value, out, lse)
        ctx.tree, ctx.settings = tree, (scale, cap, window)
        return out

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        query, key, value, far_key, far_value, out, lse = ctx.saved_tensors
        scale, cap, window = ctx.settings
        grad = grad.to(query.dtype)
        near = (key, value, *_zeros(key, value))
        far = (far_key, far_value, *_zeros(far_key, far_value))
        total = torch.zeros(query.shape, dtype=lse.dtype, device=query.device)
        with torch.autocast(query.device.type, enabled=False):
            for part in ctx.tree.parts:
                k, v, for_k, for_v = (_cut(s, part.keys) for s in (far if part.far else near))
                q, g, o, joined = (_cut(s, part.queries) for s in (query, grad, out, lse))
                scores = _Scores(scale, cap, part.causal, ctx.tree.mask(part, window))
                found = _backward(g, q, k, v, o, joined, scores)
                _cut(total, part.queries).add_(found[0])
                for_k.add_(found[1])
                for_v.add_(found[2])
        cast = [None if s is None else s.to(query.dtype) for s in (*near[2:], *far[2:])]
        return total.to(query.dtype), *cast, None, None, None, None


def _zeros(*like: torch.Tensor | None) -> list[torch.Tensor | None]:
    """Return accumulators of at least single precision."""
    return [
        None
        if one is None
        else torch.zeros(
            one.shape, dtype=torch.promote_types(one.dtype, torch.float32), device=one.device
        )
        for one in like
    ]


def _cut(states: torch.Tensor | None, places: tuple[int, int]) -> Any:
    return None if states is None else states[:, :, slice(*places)]


def _join(
    out: torch.Tensor, lse: torch.Tensor, new: torch.Tensor, new_lse: torch.Tensor, first: bool
) -> None:
    """Put a part's output beside those of the parts before it, in place."""
    if first:
        out.copy_(new)
        lse.copy_(new_lse)
        return
    joined = torch.logaddexp(lse, new_lse)
    out.mul_((lse - joined).exp_().unsqueeze(-1))
    out.addcmul_(new.to(out.dtype), (new_lse - joined).exp_().unsqueeze(-1))
    lse.copy_(joined)


def _forward(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scores: _Scores) -> States:
    """Return a part's output and log-sum-exp."""
    if not _fused(q, scores):
        return _plain_forward(q, k, v, scores)
    causal = scores.causal and scores.mask is None
    out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        q, k, v, 0.0, causal, attn_mask=_broad(scores.mask, q.dtype), scale=scores.scale
    )
    return out, lse


def _backward(
    grad: torch.Tensor,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    out: torch.Tensor,
    lse: torch.Tensor,
    scores: _Scores,
) -> tuple[torch.Tensor, ...]:
    """Return a part's share of the gradients of q, k and v, given the joined out and lse."""
    if not _fused(q, scores):
        return _plain_backward(grad, q, k, v, out, lse, scores)
    causal = scores.causal and scores.mask is None
    mask = _broad(scores.mask, q.dtype)
    found: tuple[torch.Tensor, ...] = (
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
            grad, q, k, v, out, lse, 0.0, causal, attn_mask=mask, scale=scores.scale
        )
    )
    return found


def _fused(q: torch.Tensor, scores: _Scores) -> bool:
    return q.device.type == "cpu" and scores.cap is None


def _broad(mask: torch.Tensor | None, dtype: torch.dtype) -> torch.Tensor | None:
    return None if mask is None else mask.to(dtype)[None, None]


def _plain_forward(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scores: _Scores) -> States:
    values = _plain_scores(_grouped(q, k), k, scores, q.shape[2])
    lse = values.logsumexp(-1, keepdim=True)
    out = (values - lse).exp_().to(v.dtype) @ v
    return out.reshape(q.shape), lse.reshape(q.shape[:3])


def _plain_backward(
    grad: torch.Tensor,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    out: torch.Tensor,
    lse: torch.Tensor,
    scores: _Scores,
) -> tuple[torch.Tensor, ...]:
    queries, grads = _grouped(q, k), _grouped(grad, k)
    values = _plain_scores(queries, k, scores, q.shape[2])
    weights = (values - lse.reshape(*values.shape[:3], 1)).exp()
    delta = (grad.to(lse.dtype) * out.to(lse.dtype)).sum(-1).reshape(*values.shape[:3], 1)
    slope = weights * ((grads @ v.mT).to(lse.dtype) - delta)
    if scores.cap is not None:
        # Masked scores have weight 0, whatever the slope of the cap there would be.
        slope = slope * (1 - (values / scores.cap).clamp(-1, 1) ** 2)
    slope = (slope * scores.scale).to(q.dtype)
    weights = weights.to(q.dtype)
    return (slope @ k).reshape(q.shape), slope.mT @ queries, weights.mT @ grads


def _grouped(states: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    """Make query heads that share a key head more queries of that head."""
    return states.reshape(1, k.shape[1], -1, states.shape[3])


def _plain_scores(
    queries: torch.Tensor, k: torch.Tensor, scores: _Scores, count: int
) -> torch.Tensor:
    """Return scores [1, key heads, group x queries, keys] in at least single precision."""
    values = (queries @ k.mT).to(torch.promote_types(queries.dtype, torch.float32)) * scores.scale
    if scores.cap is not None:
        values = scores.cap * torch.tanh(values / scores.cap)
    mask = scores.mask
    if mask is None and scores.causal:
        order = torch.arange(count, device=k.device)
        mask = torch.zeros((count, count), device=k.device)
        mask.masked_fill_(order > order.unsqueeze(1), _MASKED)
    if mask is None:
        return values
    return values + mask.to(values.dtype).repeat(values.shape[2] // count, 1)


AttentionInterface.register(TREE_ATTENTION, tree_attention)
