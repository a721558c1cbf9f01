"""Attention over a tree of tokens that lie in one row, each node attending to its ancestors.

A node's queries see their own node causally and every ancestor in full. Each such pair of ranges is
one *part*; the outputs of a query's parts are combined by their log-sum-exps, so nothing is
computed that a mask would discard. The backward pass of a part needs only the combined output and
log-sum-exp (Dao et al. 2022, FlashAttention, section 3.1), so it is exact part by part.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from transformers import AttentionInterface

TREE_ATTENTION: Final = "restem_tree"
# Arguments that change what attention computes; `tree_attention` does not implement them.
_UNSUPPORTED: Final = ("s_aux", "position_bias", "head_mask")
# Finite, so that a query whose keys are all masked gets weight 0, not NaN, when parts are combined.
_MASKED: Final = -1e30
# Up to so many pairs of query and key, torch's CPU kernel is slower backward in bfloat16 than in
# float32, casts included: 0.53 against 0.07 ms at 18 x 18, 5.4 against 4.8 ms at 256 x 256.
_FEW_PAIRS: Final = 256 * 256

States = tuple[torch.Tensor, torch.Tensor]


class UnknownAttentionError(Exception):
    """A layer's attention is not what tree attention computes."""


@dataclass(frozen=True)
class Part:
    """Let queries [first, end) attend to keys [first, end); far: of the prefix that ran before."""

    queries: tuple[int, int]
    keys: tuple[int, int]
    causal: bool = False
    far: bool = False


@dataclass(eq=False)
class Tree:
    """Who attends to whom in one row, and what its layers share.

    parts: those with `causal` come first and cover every token once. positions: of the row's tokens
    [tokens]. far: keys and values by layer, [1, heads, tokens, size], of a prefix that ran before.
    kept: if given, filled with the row's own keys and values by layer. read_by: layers that used
    the tree.
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
            self.masks[part, window] = self._window_mask(part, window)
        return self.masks[part, window]

    def _window_mask(self, part: Part, window: int) -> torch.Tensor | None:
        queries = self.positions[slice(*part.queries)].unsqueeze(1)
        own = self.positions[slice(*part.keys)]
        keys = torch.arange(*part.keys, device=own.device) if part.far else own
        hidden = queries - keys >= window
        if not bool(hidden.any()):
            return None
        if part.causal:
            hidden = hidden | (keys > queries)
        return torch.zeros(hidden.shape, device=own.device).masked_fill_(hidden, _MASKED)


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
    unsupported = any(others.get(name) is not None for name in _UNSUPPORTED)
    if dropout or attention_mask is not None or unsupported:
        raise UnknownAttentionError
    layer = module.layer_idx
    tree.read_by.add(layer)
    query, key = query.to(value.dtype), key.to(value.dtype)
    # A checkpointed layer runs twice; the graph depends on the states of the first run.
    if tree.kept is not None and layer not in tree.kept:
        tree.kept[layer] = (key, value)
    far = tree.far.get(layer, (None, None))
    settings = (tree, scaling, softcap, sliding_window)
    out = _TreeAttention.apply(query, key, value, *far, *settings)  # type: ignore[no-untyped-call]
    return out.transpose(1, 2), None


class _TreeAttention(torch.autograd.Function):
    """Combine the outputs of the parts; see the module's text."""

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
                kernel = _Kernel(scale, cap, part.causal, tree.mask(part, window))
                part_out, part_lse = kernel.forward(
                    _cut(query, part.queries), _cut(k, part.keys), _cut(v, part.keys)
                )
                out_range, lse_range = _cut(out, part.queries), _cut(lse, part.queries)
                _combine(out_range, lse_range, part_out, part_lse, first=part.causal)
        out = out.to(query.dtype)
        ctx.save_for_backward(query, key, value, far_key, far_value, out, lse)
        ctx.tree, ctx.settings = tree, (scale, cap, window)
        return out

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        query, key, value, far_key, far_value, out, lse = ctx.saved_tensors
        scale, cap, window = ctx.settings
        grad = grad.to(query.dtype)
        near = (key, value, _accumulator(key), _accumulator(value))
        far = (far_key, far_value, _accumulator(far_key), _accumulator(far_value))
        grad_query = torch.zeros(query.shape, dtype=lse.dtype, device=query.device)
        with torch.autocast(query.device.type, enabled=False):
            for part in ctx.tree.parts:
                k, v, grad_k, grad_v = (_cut(s, part.keys) for s in (far if part.far else near))
                g, q, o, part_lse = (_cut(s, part.queries) for s in (grad, query, out, lse))
                kernel = _Kernel(scale, cap, part.causal, ctx.tree.mask(part, window))
                gradients = kernel.backward(g, q, k, v, o, part_lse)
                targets = (_cut(grad_query, part.queries), grad_k, grad_v)
                for target, gradient in zip(targets, gradients, strict=True):
                    target.add_(gradient)
        cast = [None if s is None else s.to(query.dtype) for s in (*near[2:], *far[2:])]
        return grad_query.to(query.dtype), *cast, None, None, None, None


def _accumulator(states: torch.Tensor | None) -> torch.Tensor | None:
    """Return an accumulator of at least single precision."""
    if states is None:
        return None
    wide = torch.promote_types(states.dtype, torch.float32)
    return torch.zeros(states.shape, dtype=wide, device=states.device)


def _cut(states: torch.Tensor | None, span: tuple[int, int]) -> Any:
    return None if states is None else states[:, :, slice(*span)]


def _combine(
    out: torch.Tensor, lse: torch.Tensor, new: torch.Tensor, new_lse: torch.Tensor, first: bool
) -> None:
    """Combine a part's output with that of the parts before it, in place."""
    if first:
        out.copy_(new)
        lse.copy_(new_lse)
        return
    combined = torch.logaddexp(lse, new_lse)
    out.mul_((lse - combined).exp_().unsqueeze(-1))
    out.addcmul_(new.to(out.dtype), (new_lse - combined).exp_().unsqueeze(-1))
    lse.copy_(combined)


@dataclass(frozen=True)
class _Kernel:
    """Attention of one part: torch's fused CPU kernel where it can, else plain operations."""

    scale: float
    cap: float | None
    causal: bool
    mask: torch.Tensor | None

    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> States:
        """Return the part's output and log-sum-exp."""
        if _can_fuse(q, self.cap):
            out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
                q, k, v, 0.0, **self._fused_arguments(q)
            )
            return out, lse
        scores = self._scores(_group_heads(q, k), k, q.shape[2])
        lse = scores.logsumexp(-1, keepdim=True)
        out = (scores - lse).exp_().to(v.dtype) @ v
        return out.reshape(q.shape), lse.reshape(q.shape[:3])

    def backward(
        self,
        grad: torch.Tensor,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        out: torch.Tensor,
        lse: torch.Tensor,
    ) -> tuple[torch.Tensor, ...]:
        """Return the part's share of the gradients of q, k and v; out and lse are combined."""
        if _can_fuse(q, self.cap):
            if q.shape[2] * k.shape[2] <= _FEW_PAIRS:
                grad, q, k, v, out = (s.to(lse.dtype) for s in (grad, q, k, v, out))
            gradients: tuple[torch.Tensor, ...] = (
                torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
                    grad, q, k, v, out, lse, 0.0, **self._fused_arguments(q)
                )
            )
            return gradients
        queries, grads = _group_heads(q, k), _group_heads(grad, k)
        scores = self._scores(queries, k, q.shape[2])
        weights = (scores - lse.reshape(*scores.shape[:3], 1)).exp()
        delta = (grad.to(lse.dtype) * out.to(lse.dtype)).sum(-1).reshape(*scores.shape[:3], 1)
        slope = weights * ((grads @ v.mT).to(lse.dtype) - delta)
        if self.cap is not None:
            # Masked scores have weight 0, so the slope of the cap does not matter there.
            slope = slope * (1 - (scores / self.cap).clamp(-1, 1) ** 2)
        slope = (slope * self.scale).to(q.dtype)
        weights = weights.to(q.dtype)
        return (slope @ k).reshape(q.shape), slope.mT @ queries, weights.mT @ grads

    def _fused_arguments(self, q: torch.Tensor) -> dict[str, Any]:
        mask = None if self.mask is None else self.mask.to(q.dtype)[None, None]
        return {"is_causal": self.causal and mask is None, "attn_mask": mask, "scale": self.scale}

    def _scores(self, queries: torch.Tensor, k: torch.Tensor, count: int) -> torch.Tensor:
        """Return scores [1, key heads, group x queries, keys] in at least single precision."""
        wide = torch.promote_types(queries.dtype, torch.float32)
        scores = (queries @ k.mT).to(wide) * self.scale
        if self.cap is not None:
            scores = self.cap * torch.tanh(scores / self.cap)
        mask = self.mask
        if mask is None and self.causal:
            order = torch.arange(count, device=k.device)
            mask = torch.zeros((count, count), device=k.device)
            mask.masked_fill_(order > order.unsqueeze(1), _MASKED)
        if mask is None:
            return scores
        return scores + mask.to(scores.dtype).repeat(scores.shape[2] // count, 1)


def _can_fuse(q: torch.Tensor, cap: float | None) -> bool:
    return q.device.type == "cpu" and cap is None


def _group_heads(states: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    """Make query heads that share a key head more queries of that head."""
    return states.reshape(1, k.shape[1], -1, states.shape[3])


AttentionInterface.register(TREE_ATTENTION, tree_attention)
