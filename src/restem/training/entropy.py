"""Cross entropy of many rows over a large vocabulary, in blocks of rows.

Logits in bfloat16 would take four times their memory again in single precision: once themselves,
then their log-softmax and its gradients. Here these exist for a block of rows at a time, and the
gradient takes the place of the logits. torch's `linear_cross_entropy` would spare the logits too,
but knows nothing of what a model does to them after its projection (soft caps, scaling).
"""

from collections.abc import Iterator
from typing import Any, Final

import torch
from torch.nn.functional import cross_entropy

# Logits in a block: 16 MB in float32, about what a CPU's cache holds; elsewhere 256 MB, few calls.
_CPU_BLOCK: Final = 2**22
_BLOCK: Final = 2**26


def token_losses(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return -log p of each label [rows] in at least single precision; logits [rows, vocabulary].

    The backward pass overwrites the logits. Autograd refuses it, with an error, if the operation
    that made them kept them for itself.
    """
    losses: torch.Tensor = _TokenLosses.apply(logits, labels)  # type: ignore[no-untyped-call]
    return losses


class _TokenLosses(torch.autograd.Function):
    """Row by row what torch's own operators compute, bit by bit."""

    @staticmethod
    def forward(ctx: Any, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(logits, labels)
        losses = torch.empty(len(labels), dtype=_wide(logits), device=logits.device)
        for rows in _blocks(logits):
            losses[rows] = _losses(logits[rows], labels[rows])
        return losses

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        logits, labels = ctx.saved_tensors
        for rows in _blocks(logits):
            block = logits[rows].detach().requires_grad_()
            with torch.enable_grad():
                losses = _losses(block, labels[rows])
            (of_block,) = torch.autograd.grad(losses, block, grad[rows])
            logits[rows] = of_block
        return logits, None


def _wide(logits: torch.Tensor) -> torch.dtype:
    return torch.promote_types(logits.dtype, torch.float32)


def _losses(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return cross_entropy(logits.to(_wide(logits)), labels, reduction="none")


def _blocks(logits: torch.Tensor) -> Iterator[slice]:
    block = _CPU_BLOCK if logits.device.type == "cpu" else _BLOCK
    size = max(1, block // logits.shape[1])
    for first in range(0, len(logits), size):
        yield slice(first, first + size)
