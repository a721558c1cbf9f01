"""Kernels of attention along a tree, and the calls of them that a row needs.

On CPUs, a part is one call of torch's fused kernel. On GPUs, parts whose queries do not overlap are
one call of FlashAttention with variable lengths (Dao 2023): a row of a hundred solutions takes
three calls a layer, not two hundred. What these kernels lack (a soft cap, single precision on GPUs,
a window that ends within an ancestor) is computed with plain operations in blocks of queries, so
that no more than `_BLOCK` scores exist at a time.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, pairwise
from typing import Any, Final, Protocol

import torch

from restem.training.tree import MASKED, Mask, Part, States, Tree

_BLOCK: Final = 2**25  # scores; 128 MB in single precision
# Up to so many pairs of query and key, torch's CPU kernel is slower backward in bfloat16 than in
# float32, casts included: 0.53 against 0.07 ms at 18 x 18, 5.4 against 4.8 ms at 256 x 256.
_FEW_PAIRS: Final = 256 * 256
_FLASH_TYPES: Final = (torch.bfloat16, torch.float16)
_FLASH_HEAD: Final = (8, 256)  # the size of a head is a multiple of the first, at most the second
_FLASH_CAPABILITY: Final = (8, 0)  # of the GPU: Ampere

Where = slice | torch.Tensor
"""Places of tokens in a row: a range, or their numbers."""


class Kernel(Protocol):
    """Attention between some queries and keys; states are [1, heads, tokens, size]."""

    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> States:
        """Return the output, and the log-sum-exp [1, heads, tokens]."""
        ...

    def backward(
        self,
        grad: torch.Tensor,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        out: torch.Tensor,
        lse: torch.Tensor,
    ) -> tuple[torch.Tensor, ...]:
        """Return the share of the gradients of q, k and v; out and lse are those of all calls."""
        ...


@dataclass(frozen=True)
class Call:
    """One call of a kernel. first: its queries are in no earlier call. far: see Part."""

    queries: Where
    keys: Where
    first: bool
    far: bool
    kernel: Kernel


def calls(
    tree: Tree, states: torch.Tensor, scale: float, cap: float | None, window: int | None
) -> list[Call]:
    """Return the calls of a layer, in order; layers alike share them. states: its queries."""
    flash = _can_flash(states, cap)
    key = (scale, cap, window, flash)
    if key not in tree.calls:
        reason = _unfit(states, cap)
        if reason and states.device.type != "cpu":
            _announce(reason)
        together = [p for p in tree.parts if flash and _is_plain(tree, p, window)]
        single = [part for part in tree.parts if part not in set(together)]
        tree.calls[key] = [
            *(_flash_call(parts, scale, window, states.device) for parts in _disjoint(together)),
            *(_single_call(tree, part, scale, cap, window) for part in single),
        ]
    listed: list[Call] = tree.calls[key]
    return listed


def _can_flash(states: torch.Tensor, cap: float | None) -> bool:
    return _unfit(states, cap) is None


def _unfit(states: torch.Tensor, cap: float | None) -> str | None:
    """Return why FlashAttention cannot compute a layer; None if it can."""
    multiple, largest = _FLASH_HEAD
    size = states.shape[3]
    if not _has_flash(states.device):
        return "this device has none"
    if cap is not None:
        return "the model caps its scores"
    if states.dtype not in _FLASH_TYPES:
        return f"it has no {states.dtype}; set training.dtype: bfloat16".replace("torch.", "")
    return None if size % multiple == 0 and size <= largest else f"heads have {size} numbers"


@cache
def _announce(reason: str) -> None:
    """Say once, in the first process, that a GPU trains more slowly than it could."""
    if os.environ.get("RANK", "0") == "0":
        print(f"policy: attention in blocks of queries, not FlashAttention: {reason}", flush=True)


def _has_flash(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= _FLASH_CAPABILITY


def _is_plain(tree: Tree, part: Part, window: int | None) -> bool:
    """Tell whether a window is none, or one that FlashAttention knows: within one node."""
    return part.causal or tree.mask(part, window) is None


def _disjoint(parts: Iterable[Part]) -> list[list[Part]]:
    """Group parts of one kind whose queries follow each other without overlap."""
    groups: list[list[Part]] = []
    for part in parts:
        kind = (part.causal, part.far)
        for group in groups:
            last = group[-1]
            if kind == (last.causal, last.far) and part.queries[0] >= last.queries[1]:
                group.append(part)
                break
        else:
            groups.append([part])
    return groups


def _flash_call(
    parts: Sequence[Part], scale: float, window: int | None, device: torch.device
) -> Call:
    causal, far = parts[0].causal, parts[0].far
    queries, keys = [part.queries for part in parts], [part.keys for part in parts]
    kernel = _Flash(
        _Lengths.of(queries, device),
        _Lengths.of(keys, device),
        scale,
        causal,
        window if causal else None,
    )
    return Call(_places(queries, device), _places(keys, device), causal, far, kernel)


def _single_call(
    tree: Tree, part: Part, scale: float, cap: float | None, window: int | None
) -> Call:
    kernel = _Single(scale, cap, part.causal, tree.mask(part, window))
    return Call(slice(*part.queries), slice(*part.keys), part.causal, part.far, kernel)


def _places(spans: Sequence[tuple[int, int]], device: torch.device) -> Where:
    """Return a range where spans follow each other without a gap, else all numbers."""
    if all(a[1] == b[0] for a, b in pairwise(spans)):
        return slice(spans[0][0], spans[-1][1])
    return torch.cat([torch.arange(*span) for span in spans]).to(device)


@dataclass(frozen=True)
class _Lengths:
    """Lengths of sequences one after another; ends: sums, from 0 on [sequences + 1]."""

    ends: torch.Tensor
    longest: int

    @classmethod
    def of(cls, spans: Iterable[tuple[int, int]], device: torch.device) -> "_Lengths":
        lengths = [end - first for first, end in spans]
        ends = torch.tensor([0, *accumulate(lengths)], dtype=torch.int32)
        return cls(ends.to(device), max(lengths))


@dataclass(frozen=True)
class _Flash:
    """FlashAttention of several sequences; the operators of torch.nn.attention.varlen."""

    queries: _Lengths
    keys: _Lengths
    scale: float
    causal: bool
    window: int | None

    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> States:
        out, lse, *_ = torch.ops.aten._flash_attention_forward(
            _by_token(q), _by_token(k), _by_token(v), *self._lengths(),
            0.0, self.causal, False, **self._options(),
        )  # fmt: skip
        return _by_head(out), lse.unsqueeze(0)

    def backward(
        self,
        grad: torch.Tensor,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        out: torch.Tensor,
        lse: torch.Tensor,
    ) -> tuple[torch.Tensor, ...]:
        no_dropout = torch.zeros(2, dtype=torch.uint64, device=q.device)
        gradients = torch.ops.aten._flash_attention_backward(
            *(_by_token(states).contiguous() for states in (grad, q, k, v, out)),
            lse[0].contiguous(), *self._lengths(),
            0.0, self.causal, no_dropout, torch.empty(0, device=q.device), **self._options(),
        )  # fmt: skip
        return tuple(_by_head(gradient) for gradient in gradients)

    def _lengths(self) -> tuple[torch.Tensor, torch.Tensor, int, int]:
        return self.queries.ends, self.keys.ends, self.queries.longest, self.keys.longest

    def _options(self) -> dict[str, Any]:
        if self.window is None:
            return {"scale": self.scale}
        return {
            "scale": self.scale, "window_size_left": self.window - 1, "window_size_right": 0
        }  # fmt: skip


def _by_token(states: torch.Tensor) -> torch.Tensor:
    return states[0].transpose(0, 1)


def _by_head(states: torch.Tensor) -> torch.Tensor:
    return states.transpose(0, 1).unsqueeze(0)


@dataclass(frozen=True)
class _Single:
    """Attention of one part: torch's fused CPU kernel where it can, else plain operations."""

    scale: float
    cap: float | None
    causal: bool
    mask: Mask | None

    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> States:
        if _can_fuse(q, self.cap):
            out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
                q, k, v, 0.0, **self._fused_arguments(q)
            )
            return out, lse
        blocks = [
            self._forward(q[:, :, first:end], k[:, :, :seen], v[:, :, :seen], first)
            for first, end, seen in self._blocks(q, k)
        ]
        outs, lses = zip(*blocks, strict=True)
        return torch.cat(outs, 2), torch.cat(lses, 2)

    def backward(
        self,
        grad: torch.Tensor,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        out: torch.Tensor,
        lse: torch.Tensor,
    ) -> tuple[torch.Tensor, ...]:
        if _can_fuse(q, self.cap):
            if q.shape[2] * k.shape[2] <= _FEW_PAIRS:
                grad, q, k, v, out = (s.to(lse.dtype) for s in (grad, q, k, v, out))
            gradients: tuple[torch.Tensor, ...] = (
                torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
                    grad, q, k, v, out, lse, 0.0, **self._fused_arguments(q)
                )
            )
            return gradients
        grad_q = []
        grad_k, grad_v = (torch.zeros(s.shape, dtype=lse.dtype, device=s.device) for s in (k, v))
        for first, end, seen in self._blocks(q, k):
            g, queries, o, of_rows = (s[:, :, first:end] for s in (grad, q, out, lse))
            of_q, of_k, of_v = self._backward(
                g, queries, k[:, :, :seen], v[:, :, :seen], o, of_rows, first
            )
            grad_q.append(of_q)
            grad_k[:, :, :seen] += of_k
            grad_v[:, :, :seen] += of_v
        return torch.cat(grad_q, 2), grad_k, grad_v

    def _blocks(self, q: torch.Tensor, k: torch.Tensor) -> Iterator[tuple[int, int, int]]:
        """Yield blocks of queries, first and end, and how many keys they can see."""
        rows = max(1, _BLOCK // (q.shape[1] * k.shape[2]))
        for first in range(0, q.shape[2], rows):
            end = min(first + rows, q.shape[2])
            yield first, end, end if self.causal else k.shape[2]

    def _forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, first: int) -> States:
        scores = self._scores(_group_heads(q, k), k, first, q.shape[2])
        lse = scores.logsumexp(-1, keepdim=True)
        out = (scores - lse).exp_().to(v.dtype) @ v
        return out.reshape(q.shape), lse.reshape(q.shape[:3])

    def _backward(
        self,
        grad: torch.Tensor,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        out: torch.Tensor,
        lse: torch.Tensor,
        first: int,
    ) -> tuple[torch.Tensor, ...]:
        queries, grads = _group_heads(q, k), _group_heads(grad, k)
        scores = self._scores(queries, k, first, q.shape[2])
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
        mask = None if self.mask is None else self.mask.whole.to(q.dtype)[None, None]
        return {"is_causal": self.causal and mask is None, "attn_mask": mask, "scale": self.scale}

    def _scores(
        self, queries: torch.Tensor, k: torch.Tensor, first: int, count: int
    ) -> torch.Tensor:
        """Return scores [1, key heads, group x queries, keys] in at least single precision.

        first, count: of the part's queries, those of this block.
        """
        wide = torch.promote_types(queries.dtype, torch.float32)
        scores = (queries @ k.mT).to(wide) * self.scale
        if self.cap is not None:
            scores = self.cap * torch.tanh(scores / self.cap)
        mask = self.mask.block(first, first + count, k.shape[2]) if self.mask else None
        if mask is None and self.causal:
            rows = torch.arange(first, first + count, device=k.device).unsqueeze(1)
            hidden = torch.arange(k.shape[2], device=k.device) > rows
            mask = torch.zeros(hidden.shape, device=k.device).masked_fill_(hidden, MASKED)
        if mask is None:
            return scores
        return scores + mask.to(scores.dtype).repeat(scores.shape[2] // count, 1)


def _can_fuse(q: torch.Tensor, cap: float | None) -> bool:
    return q.device.type == "cpu" and cap is None


def _group_heads(states: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    """Make query heads that share a key head more queries of that head."""
    return states.reshape(1, k.shape[1], -1, states.shape[3])
