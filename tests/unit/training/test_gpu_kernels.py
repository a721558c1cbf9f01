"""What training does on a GPU, without one: which kernels it calls, and that it joins them right.

The stand-ins compute what FlashAttention's operators are documented to compute, in double
precision, sequence by sequence. `tests/gpu` runs the operators themselves.
"""

import math
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from restem.config.training import Training
from restem.training import kernels
from restem.training.attention import tree_attention
from restem.training.packs import packs
from restem.training.tree import Part, Tree
from tests.unit.training.test_loss import (
    EXAMPLES,
    FAMILIES,
    SIZES,
    assert_equal,
    random_model,
    step,
)

PREFIX, SOLUTIONS, LENGTH = 512, 8, 512


def scores(q: Any, k: Any, causal: bool, scale: float, left: int | None) -> Any:
    """Return the scores [heads, queries, keys] of one sequence."""
    k = k.repeat_interleave(q.shape[1] // k.shape[1], 1)
    result = torch.einsum("qhd,khd->hqk", q, k) * scale
    distance = torch.arange(q.shape[0]).unsqueeze(1) - torch.arange(k.shape[0])
    hidden = (distance < 0) & causal
    if left is not None:
        assert causal, "the windows of FlashAttention are of queries and keys that end together"
        hidden |= distance > left
    return result.masked_fill(hidden, -math.inf)


def spans(ends: Any, longest: int) -> list[slice]:
    assert ends.dtype == torch.int32
    lengths = ends.diff().tolist()
    assert longest == max(lengths)
    return [slice(int(b) - n, int(b)) for b, n in zip(ends[1:], lengths, strict=True)]


def flash_forward(
    q: Any, k: Any, v: Any, ends_q: Any, ends_k: Any, longest_q: int, longest_k: int,
    dropout: float, causal: bool, debug: bool, *, scale: float,
    window_size_left: int | None = None, window_size_right: int | None = None,
) -> tuple[Any, ...]:  # fmt: skip
    assert (dropout, debug, window_size_right) in {(0.0, False, None), (0.0, False, 0)}
    out, lse = torch.empty_like(q), q.new_empty(q.shape[1], q.shape[0])
    for of_q, of_k in zip(spans(ends_q, longest_q), spans(ends_k, longest_k), strict=True):
        of_call = scores(q[of_q], k[of_k], causal, scale, window_size_left)
        values = v[of_k].repeat_interleave(q.shape[1] // v.shape[1], 1)
        out[of_q] = torch.einsum("hqk,khd->qhd", of_call.softmax(-1), values)
        lse[:, of_q] = of_call.logsumexp(-1)
    return out, lse, None, None, None


def flash_backward(
    grad: Any, q: Any, k: Any, v: Any, out: Any, lse: Any, ends_q: Any, ends_k: Any,
    longest_q: int, longest_k: int, dropout: float, causal: bool, state: Any, unused: Any, *,
    scale: float, window_size_left: int | None = None, window_size_right: int | None = None,
) -> tuple[Any, ...]:  # fmt: skip
    """Use `out` and `lse` as they are given, which need not be those of this call."""
    del dropout, state, unused, window_size_right
    dq, dk, dv = (torch.zeros_like(states) for states in (q, k, v))
    group = q.shape[1] // k.shape[1]
    for of_q, of_k in zip(spans(ends_q, longest_q), spans(ends_k, longest_k), strict=True):
        of_call = scores(q[of_q], k[of_k], causal, scale, window_size_left)
        weights = (of_call - lse[:, of_q].unsqueeze(-1)).exp()
        keys, values = (s[of_k].repeat_interleave(group, 1) for s in (k, v))
        delta = (grad[of_q] * out[of_q]).sum(-1).T.unsqueeze(-1)
        slope = weights * (torch.einsum("qhd,khd->hqk", grad[of_q], values) - delta) * scale
        dq[of_q] = torch.einsum("hqk,khd->qhd", slope, keys)
        for target, of_head in (
            (dk, torch.einsum("hqk,qhd->khd", slope, q[of_q])),
            (dv, torch.einsum("hqk,qhd->khd", weights, grad[of_q])),
        ):
            target[of_k] = of_head.unflatten(1, (-1, group)).sum(2)
    return dq, dk, dv


@pytest.fixture
def flash(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Put the stand-ins in the place of the operators; list how many sequences a call had."""
    called: list[int] = []

    def forward(*args: Any, **named: Any) -> tuple[Any, ...]:
        called.append(len(args[3]) - 1)
        return flash_forward(*args, **named)

    monkeypatch.setattr(torch.ops.aten, "_flash_attention_forward", forward)
    monkeypatch.setattr(torch.ops.aten, "_flash_attention_backward", flash_backward)
    monkeypatch.setattr(kernels, "_can_flash", lambda *_: True)
    return called


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("layout", ["tree", "packed"])
@pytest.mark.parametrize("limit", [10_000, 40])
def test_flash_attention_joined_gives_the_same_gradients(
    family: str, layout: str, limit: int, flash: list[int]
) -> None:
    model = random_model(family)
    result = step(model, layout=layout, limit=limit)
    assert flash
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "_can_flash", lambda *_: False)
        flash.clear()
        assert_equal(result, step(model, layout=layout, limit=limit))
        assert not flash


def test_a_row_of_many_solutions_takes_three_calls_a_layer(flash: list[int]) -> None:
    model = random_model("llama")
    [pack] = packs(EXAMPLES, Training(pass_tokens=10_000), 1.0)
    assert len(pack.passes[0].parts) > 10
    step(model, limit=10_000)
    assert len(flash) == 3 * SIZES["num_hidden_layers"]
    assert max(flash) > 5


@pytest.mark.parametrize("family", ["llama", "gemma3, windows of 6"])
def test_plain_attention_in_blocks_is_that_in_one(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = random_model(family)
    expected = step(model, limit=40)
    monkeypatch.setattr(kernels, "_can_fuse", lambda *_: False)
    monkeypatch.setattr(kernels, "_BLOCK", 64)
    assert_equal(step(model, limit=40), expected)
    assert_equal(step(model), expected)


class Largest(TorchDispatchMode):
    """Record which operators run, and the largest tensor that any of them returns."""

    def __init__(self) -> None:
        super().__init__()
        self.called: set[str] = set()
        self.numbers = 0

    def __torch_dispatch__(
        self, operator: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = operator(*args, **(kwargs or {}))
        self.called.add(operator.overloadpacket.__name__)
        for tensor in result if isinstance(result, tuple | list) else [result]:
            if isinstance(tensor, torch.Tensor):
                self.numbers = max(self.numbers, tensor.numel())
        return result


@pytest.mark.parametrize("cap", [None, 50.0])
def test_no_scores_exist_on_a_gpu(
    cap: float | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Tensors without content (device meta) go through the operators' own shape rules."""
    monkeypatch.setattr(kernels, "_has_flash", lambda _: True)
    monkeypatch.setattr(kernels, "_BLOCK", 2**16)
    kernels._announce.cache_clear()
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # meta has none
    total = PREFIX + SOLUTIONS * LENGTH
    nodes = [(0, PREFIX)]
    nodes += [(PREFIX + i * LENGTH, PREFIX + (i + 1) * LENGTH) for i in range(SOLUTIONS)]
    parts = [Part(span, span, causal=True) for span in nodes]
    tree = Tree((*parts, Part((PREFIX, total), (0, PREFIX))), torch.arange(total, device="meta"))
    query = torch.empty(1, 8, total, 64, dtype=torch.bfloat16, device="meta", requires_grad=True)
    key = torch.empty(1, 2, total, 64, dtype=torch.bfloat16, device="meta", requires_grad=True)
    value = key.detach().clone().requires_grad_()
    layer = torch.nn.Module()
    layer.layer_idx = 0  # type: ignore[assignment]
    with Largest() as seen:
        for _ in range(2):
            out, _ = tree_attention(layer, query, key, value, None, 0.125, tree, softcap=cap)
            out.sum().backward()
    flash = {"_flash_attention_forward", "_flash_attention_backward"}
    assert flash & seen.called == (set() if cap else flash)
    assert seen.numbers <= query.numel()  # scores of one head alone would be four times as many
    line = "policy: attention in blocks of queries, not FlashAttention: the model caps its scores\n"
    assert capsys.readouterr().out == (line if cap else "")
    assert query.grad is not None
    assert query.grad.shape == query.shape
    assert value.grad is not None
    assert value.grad.shape == value.shape


@pytest.mark.parametrize("cap", [None, 50.0])
def test_a_window_is_no_matrix_of_all_queries_and_keys(
    cap: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "_can_fuse", lambda *_: False)
    monkeypatch.setattr(kernels, "_BLOCK", 2**14)
    nodes = [Part((0, 512), (0, 512), causal=True), Part((512, 768), (512, 768), causal=True)]
    tree = Tree((*nodes, Part((512, 768), (0, 512))), torch.arange(768))
    query, key, value = (torch.randn(1, 2, 768, 8, requires_grad=True) for _ in range(3))
    layer = torch.nn.Module()
    layer.layer_idx = 0  # type: ignore[assignment]
    with Largest() as seen:
        named: dict[str, Any] = {"sliding_window": 100, "softcap": cap}
        tree_attention(layer, query, key, value, None, 0.125, tree, **named)[0].sum().backward()
    assert all(tree.masks.values())
    assert seen.numbers <= 2**14


@pytest.mark.parametrize(
    ("dtype", "size", "cap"),
    [(torch.float32, 64, None), (torch.bfloat16, 60, None), (torch.bfloat16, 512, None),
     (torch.bfloat16, 64, 50.0)],
)  # fmt: skip
def test_what_flash_attention_lacks_is_not_asked_of_it(
    dtype: torch.dtype, size: int, cap: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "_has_flash", lambda _: True)
    states = torch.empty(1, 2, 4, size, dtype=dtype, device="meta")
    tree = Tree((Part((0, 4), (0, 4), causal=True),), torch.arange(4))
    [call] = kernels.calls(tree, states, 1.0, cap, None)
    assert isinstance(call.kernel, kernels._Single)
    fitting = torch.empty(1, 2, 4, 64, dtype=torch.bfloat16, device="meta")
    [call] = kernels.calls(tree, fitting, 1.0, None, None)
    assert isinstance(call.kernel, kernels._Flash)
