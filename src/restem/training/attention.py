"""Attention over a tree of tokens that lie in one row, each node attending to its ancestors.

A node's queries see their own node causally and every ancestor in full. Each such pair of ranges is
one *part*; the outputs of a query's parts are combined by their log-sum-exps, so nothing is
computed that a mask would discard. The backward pass of a part needs only the combined output and
log-sum-exp (Dao et al. 2022, FlashAttention, section 3.1), so it is exact part by part.
"""

from typing import Any, Final

import torch

from restem.libraries import transformers
from restem.training.kernels import Where, calls
from restem.training.tree import Tree

TREE_ATTENTION: Final = "restem_tree"
# Arguments that change what attention computes; `tree_attention` does not implement them.
_UNSUPPORTED: Final = ("s_aux", "position_bias", "head_mask")


class UnknownAttentionError(Exception):
    """A layer's attention is not what tree attention computes."""


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
    """Combine the outputs of the calls; see the module's text."""

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
            for call in calls(tree, query, scale, cap, window):
                k, v = (far_key, far_value) if call.far else (key, value)
                new, new_lse = call.kernel.forward(
                    _cut(query, call.queries), _cut(k, call.keys), _cut(v, call.keys)
                )
                if not call.first:
                    old = _cut(out, call.queries), _cut(lse, call.queries)
                    new, new_lse = _combined(*old, new, new_lse)
                _put(out, call.queries, new)
                _put(lse, call.queries, new_lse)
        out = out.to(query.dtype)
        ctx.save_for_backward(query, key, value, far_key, far_value, out, lse)
        ctx.tree, ctx.settings = tree, (scale, cap, window)
        return out

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        query, key, value, far_key, far_value, out, lse = ctx.saved_tensors
        grad = grad.to(query.dtype)
        near = (key, value, _accumulator(key), _accumulator(value))
        far = (far_key, far_value, _accumulator(far_key), _accumulator(far_value))
        grad_query = torch.zeros(query.shape, dtype=lse.dtype, device=query.device)
        with torch.autocast(query.device.type, enabled=False):
            for call in calls(ctx.tree, query, *ctx.settings):
                k, v, grad_k, grad_v = far if call.far else near
                g, q, o, of_call = (_cut(s, call.queries) for s in (grad, query, out, lse))
                of_q, of_k, of_v = call.kernel.backward(
                    g, q, _cut(k, call.keys), _cut(v, call.keys), o, of_call
                )
                _add(grad_query, call.queries, of_q)
                _add(grad_k, call.keys, of_k)
                _add(grad_v, call.keys, of_v)
        cast = [None if s is None else s.to(query.dtype) for s in (*near[2:], *far[2:])]
        return grad_query.to(query.dtype), *cast, None, None, None, None


def _accumulator(states: torch.Tensor | None) -> torch.Tensor | None:
    """Return an accumulator of at least single precision."""
    if states is None:
        return None
    wide = torch.promote_types(states.dtype, torch.float32)
    return torch.zeros(states.shape, dtype=wide, device=states.device)


def _cut(states: torch.Tensor | None, where: Where) -> Any:
    """Return some tokens of states [1, heads, tokens, ...]; of a range, a view."""
    if states is None:
        return None
    return states[:, :, where] if isinstance(where, slice) else states.index_select(2, where)


def _put(states: torch.Tensor, where: Where, new: torch.Tensor) -> None:
    if isinstance(where, slice):
        states[:, :, where].copy_(new)
    else:
        states.index_copy_(2, where, new.to(states.dtype))


def _add(states: torch.Tensor | None, where: Where, more: torch.Tensor) -> None:
    assert states is not None
    if isinstance(where, slice):
        states[:, :, where].add_(more)
    else:
        states.index_add_(2, where, more.to(states.dtype))


def _combined(
    out: torch.Tensor, lse: torch.Tensor, new: torch.Tensor, new_lse: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Combine a call's output and log-sum-exp with those of the calls before it."""
    both = torch.logaddexp(lse, new_lse)
    combined = out * (lse - both).exp_().unsqueeze(-1)
    return combined.addcmul_(new.to(out.dtype), (new_lse - both).exp_().unsqueeze(-1)), both


transformers.AttentionInterface.register(TREE_ATTENTION, tree_attention)
