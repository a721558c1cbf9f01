"""Training and sampling on the device that RESTEM_DEVICE names agree with those on a CPU.

`make gpu` runs these tests on a GPU, every other run on the CPU. Weights are random or embedded.
"""

import copy
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from restem.config.decoding import Decoding
from restem.config.models import EngineSettings
from restem.config.training import Training
from restem.embedded import weights
from restem.embedded.world import PROMPT, problems
from restem.sampling.engine import Request
from restem.sampling.loading import load_engine
from restem.sampling.prompts import PromptForm
from restem.training import kernels
from restem.training.attention import tree_attention
from restem.training.examples import Example
from restem.training.loop import fine_tune
from restem.training.loss import accumulate
from restem.training.m_steps.fine_tune import ModelReward
from restem.training.packs import packs, step_mass
from restem.training.tree import Part, Tree
from tests.unit.training.test_loss import EXAMPLES, FAMILIES, random_model

DEVICE = os.environ.get("RESTEM_DEVICE", "cpu")
HEADS, KEY_HEADS, SIZE = 8, 2, 64
PREFIX, TOTAL = 40, 130
PARTS = (
    *(
        Part(span, span, causal=True)
        for span in ((0, PREFIX), (PREFIX, 70), (70, 100), (100, TOTAL))
    ),
    Part((70, 100), (PREFIX, 70)),
    Part((PREFIX, TOTAL), (0, PREFIX)),
)
POSITIONS = [*range(70), *range(70, 100), *range(40, 70)]


def attended(dtype: torch.dtype, device: str, window: int | None = None) -> list[torch.Tensor]:
    """Return output and gradients of one layer over a small tree."""
    random = torch.Generator().manual_seed(0)
    states = [
        torch.randn(1, heads, TOTAL, SIZE, generator=random).to(device, dtype).requires_grad_()
        for heads in (HEADS, KEY_HEADS, KEY_HEADS)
    ]
    layer: Any = torch.nn.Module()
    layer.layer_idx = 0
    tree = Tree(PARTS, torch.tensor(POSITIONS, device=device))
    out, _ = tree_attention(layer, *states, None, SIZE**-0.5, tree, sliding_window=window)
    out.backward(torch.randn(out.shape, generator=random).to(out))
    return [out, *(state.grad for state in states)]


@pytest.mark.parametrize("window", [None, 50, 16])
def test_attention_in_half_precision_is_near_that_in_double(window: int | None) -> None:
    exact = attended(torch.float64, "cpu", window)
    for ours, expected in zip(attended(torch.bfloat16, DEVICE, window), exact, strict=True):
        error = (ours.detach().cpu().double() - expected.detach()).norm() / expected.detach().norm()
        assert error < 0.02


def test_attention_in_single_precision_is_that_in_double() -> None:
    for ours, exact in zip(
        attended(torch.float32, DEVICE), attended(torch.float64, "cpu"), strict=True
    ):
        assert torch.allclose(ours.detach().cpu().double(), exact.detach(), atol=1e-4)


@pytest.mark.skipif(DEVICE != "cuda", reason="FlashAttention runs on GPUs")
def test_half_precision_uses_flash_attention_on_a_gpu() -> None:
    states = torch.empty(1, HEADS, TOTAL, SIZE, dtype=torch.bfloat16, device=DEVICE)
    tree = Tree(PARTS, torch.tensor(POSITIONS, device=DEVICE))
    listed = kernels.calls(tree, states, 1.0, None, None)
    assert [type(call.kernel) for call in listed] == [kernels._Flash] * 3


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("layout", ["tree", "packed", "padded"])
def test_steps_have_the_gradients_of_the_cpu(family: str, layout: str) -> None:
    chosen = Training(layout=layout, pass_tokens=60)
    step = packs(EXAMPLES, chosen, step_mass(EXAMPLES, len(EXAMPLES), "token"))
    exact = random_model(family)
    rounded: Any = copy.deepcopy(exact).float().to(DEVICE)
    for module in rounded.modules():
        module.__dict__.pop("forward", None)
    results = []
    for model in (exact, rounded):
        loss = accumulate(model, step)
        gradients = [p.grad.flatten().cpu().double() for p in model.parameters()]
        results.append((loss, torch.cat(gradients)))
    (loss, gradient), (near, rough) = results
    assert near == pytest.approx(loss, rel=1e-4)
    assert (rough - gradient).norm() / gradient.norm() < 1e-3


def test_validations_sample_in_half_precision_where_the_engine_does(
    checkpoint: Path, tmp_path: Path
) -> None:
    chosen = Training(dtype="bfloat16", epochs_max=1, validations=1)
    seen: list[tuple[torch.dtype, str]] = []
    greedy = Decoding(draws=1, temperature=0, max_tokens=4)

    class Drawn:
        flops = 0.0

        def reward(self, engine: Any, form: PromptForm) -> float:
            seen.append((engine._model.dtype, engine._model.device.type))
            return float(len(drawn(engine, greedy, range(1))))

    validation: Any = Drawn()
    validate = ModelReward(validation, PromptForm(""), 8, torch.bfloat16)
    examples = [Example("", PROMPT["chain"].format(question="?"), " 1\n", 1.0)]
    fine_tune(
        checkpoint, examples, chosen, 0, 1, validate, tmp_path / "out", lambda _: None, DEVICE
    )
    assert seen == [(torch.bfloat16, DEVICE)] * 2


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("policies") / "S"
    weights.unpack("S", folder)
    return folder


def drawn(engine: Any, decoding: Decoding, draws: range) -> dict[tuple[str, int], str]:
    prompts = [PROMPT["chain"].format(question=p["question"]) for p in problems("chain", "test", 6)]
    requests = [
        Request(str(i), "", prompt, tuple(draws), tuple(1000 * i + d for d in draws))
        for i, prompt in enumerate(prompts)
    ]
    groups = engine.sample(requests, decoding, ("\n",))
    return {(c.problem_id, c.draw): c.text for group in groups for c in group}


def test_completions_are_those_of_the_cpu_and_do_not_depend_on_each_other(checkpoint: Path) -> None:
    greedy = Decoding(draws=1, temperature=0, max_tokens=64)
    explore = Decoding(draws=8, temperature=0.7, top_k=40, max_tokens=64)
    ours = load_engine(checkpoint, EngineSettings(device=DEVICE), 1)
    cpu = load_engine(checkpoint, EngineSettings(device="cpu"), 1)
    assert drawn(ours, greedy, range(1)) == drawn(cpu, greedy, range(1))
    whole = drawn(ours, explore, range(8))
    parts = drawn(ours, explore, range(3)) | drawn(ours, explore, range(3, 8))
    same = sum(whole[key] == parts[key] for key in whole)
    assert same >= 0.9 * len(whole)  # other batches round differently, on GPUs more often
    assert drawn(ours, explore, range(8)) == whole
