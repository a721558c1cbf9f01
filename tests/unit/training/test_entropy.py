"""Cross entropy in blocks: the same bits as torch's, without a copy of all logits."""

import copy
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode

from restem.config.training import Training
from restem.training import entropy
from restem.training.entropy import token_losses
from restem.training.loss import accumulate
from restem.training.packs import packs
from tests.unit.training.test_loss import EXAMPLES, random_model

ROWS, VOCABULARY, SIZE = 50, 300, 16


def losses_and_gradients(compute: Any, dtype: torch.dtype) -> list[torch.Tensor]:
    """Return the losses, and the gradients of states and projection under unequal weights."""
    torch.manual_seed(0)
    states = torch.randn(ROWS, SIZE, dtype=dtype, requires_grad=True)
    projection = torch.randn(VOCABULARY, SIZE, dtype=dtype, requires_grad=True)
    labels = torch.randint(0, VOCABULARY, (ROWS,))
    losses = compute(states @ projection.T / 3, labels)
    (torch.linspace(-1, 2, ROWS, dtype=losses.dtype) * losses).sum().backward()
    assert states.grad is not None
    assert projection.grad is not None
    return [losses.detach(), states.grad, projection.grad]


def of_torch(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    wide = torch.promote_types(logits.dtype, torch.float32)
    return cross_entropy(logits.to(wide), labels, reduction="none")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("rows", [1, 7, ROWS, 1000])
def test_blocks_give_torchs_bits(
    dtype: torch.dtype, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entropy, "_CPU_BLOCK", rows * VOCABULARY)
    expected = losses_and_gradients(of_torch, dtype)
    for result, value in zip(losses_and_gradients(token_losses, dtype), expected, strict=True):
        assert torch.equal(result, value)


class Large(TorchDispatchMode):
    """Note types and memory of the tensors with at least so many numbers that operators return."""

    def __init__(self, numbers: int) -> None:
        super().__init__()
        self.numbers = numbers
        self.types: set[torch.dtype] = set()
        self.places: set[int] = set()

    def __torch_dispatch__(
        self, operator: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = operator(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else [result]:
            if isinstance(tensor, torch.Tensor) and tensor.numel() >= self.numbers:
                self.types.add(tensor.dtype)
                self.places.add(tensor.untyped_storage().data_ptr())
        return result


def test_a_step_in_half_precision_holds_all_logits_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """In bfloat16 only, and the gradient takes their place."""
    model = copy.deepcopy(random_model("qwen3", vocab_size=2_000)).float()
    for module in model.modules():
        module.__dict__.pop("forward", None)
    [pack] = packs(EXAMPLES, Training(), 1.0)
    targets = sum(len(example.target) for example in EXAMPLES)
    logits = targets * model.config.vocab_size
    assert logits > max(p.numel() for p in model.parameters())
    monkeypatch.setattr(entropy, "_CPU_BLOCK", 8 * model.config.vocab_size)
    with Large(logits) as seen, torch.autocast("cpu", torch.bfloat16):
        accumulate(model, [pack])
    assert seen.types == {torch.bfloat16}
    assert len(seen.places) == 1


def test_logits_that_autograd_needs_are_not_overwritten_silently() -> None:
    states = torch.randn(ROWS, VOCABULARY, requires_grad=True)
    losses = token_losses(states.tanh(), torch.zeros(ROWS, dtype=torch.long))
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        losses.sum().backward()
