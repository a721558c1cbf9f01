"""The weighting that `restem.training.loss` states, over an epoch of a training run."""

import copy
import random
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch

from restem.config.training import Training
from restem.training import run as run_module
from restem.training.examples import Encoded
from restem.training.packs import Pack
from restem.training.parallel import Processes
from restem.training.run import TrainingRun

LAYOUTS = ("tree", "packed", "padded")


def log_normal(count: int) -> list[Encoded]:
    """Return examples whose tokens are their number; all weights but every fifth are 1."""
    rng = random.Random(0)
    lengths = [min(400, 1 + round(rng.lognormvariate(3, 1))) for _ in range(count)]
    return [Encoded([1, k % 50], [k] * n, 1.0 + (k % 5 == 0)) for k, n in enumerate(lengths)]


def training_run(model: Any, examples: Sequence[Encoded], **settings: Any) -> TrainingRun:
    chosen = Training(stop="epochs", epochs_max=1, batch_size=16, **settings)
    processes = Processes("cpu")
    return TrainingRun(
        model,
        None,
        examples,
        chosen,
        0,
        lambda *_: 0.0,
        lambda _: None,
        lambda **_: None,
        None,
        processes,
    )


def weights_of_an_epoch(
    model: Any, examples: list[Encoded], monkeypatch: pytest.MonkeyPatch, **settings: Any
) -> Iterator[tuple[Encoded, list[float]]]:
    """Yield each example with the weights of its tokens in the epoch's gradient."""
    steps: list[Sequence[Pack]] = []

    def record(model: Any, packs: Sequence[Pack]) -> float:
        steps.append(packs)
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        return 1.0

    monkeypatch.setattr(run_module, "accumulate", lambda model, packs, _: record(model, packs))
    training_run(copy.deepcopy(model), examples, **settings).train()
    weights: dict[int, list[float]] = {}
    for one_pass in (one_pass for step in steps for pack in step for one_pass in pack.passes):
        for label, share in zip(one_pass.labels.tolist(), one_pass.shares.tolist(), strict=True):
            weights.setdefault(label, []).append(share)
    for example in examples:
        yield example, weights[example.target[0]]


@pytest.mark.parametrize("shuffle", ["examples", "questions"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_token_weighs_the_same_whatever_the_length_of_its_solution(
    llama: Any, monkeypatch: pytest.MonkeyPatch, layout: str, shuffle: str
) -> None:
    settings = {"layout": layout, "shuffle": shuffle}
    per_token = set()
    for example, weights in weights_of_an_epoch(llama, log_normal(1003), monkeypatch, **settings):
        assert len(weights) == len(example.target)
        per_token |= {weight / example.weight for weight in weights}
    assert max(per_token) == pytest.approx(min(per_token), rel=1e-12)


def test_a_solution_weighs_the_same_whatever_its_length_if_examples_count(
    llama: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = weights_of_an_epoch(llama, log_normal(1003), monkeypatch, normalise="example")
    totals = [sum(weights) / example.weight for example, weights in pairs]
    assert max(totals) == pytest.approx(min(totals), rel=1e-9)


@pytest.mark.parametrize("normalise", ["token", "example"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_gradients_of_an_epoch_add_up_to_that_of_the_whole_data(
    llama: Any, layout: str, normalise: str
) -> None:
    """Eq. 3 over all examples, one by one."""
    rng = random.Random(1)
    examples = [
        Encoded(
            [1, k % 7, 3], [rng.randrange(16) for _ in range(rng.randrange(1, 12))], 1.0 + k % 2
        )
        for k in range(37)
    ]
    model = copy.deepcopy(llama).double()
    expected = one_by_one(model, examples, normalise)
    # At a learning rate of nothing the weights stay, so the steps' gradients can be added.
    settings = {"layout": layout, "normalise": normalise, "learning_rate": 1e-300}
    run = training_run(model, examples, gradient_clip=0, warmup_share=0, **settings)
    total: dict[str, torch.Tensor] = {}

    def add(*_: Any) -> None:
        for name, parameter in model.named_parameters():
            total[name] = total.get(name, 0) + parameter.grad

    run.optimizer.register_step_pre_hook(add)
    run.train()
    assert len(run.report.losses) == 3
    whole = torch.cat([gradient.flatten() for gradient in total.values()])
    scale = expected.norm() / whole.norm()  # the constant of the objective
    # The model's norms compute in float32 whatever the weights are.
    assert ((whole * scale - expected).norm() / expected.norm()).item() < 1e-5


def one_by_one(model: Any, examples: list[Encoded], normalise: str) -> torch.Tensor:
    model.zero_grad()
    for example in examples:
        ids = torch.tensor([example.prompt + example.target])
        scores = model(input_ids=ids, use_cache=False).logits[0].log_softmax(-1)
        start, count = len(example.prompt), len(example.target)
        log_likelihood = sum(scores[start + t - 1, ids[0, start + t]] for t in range(count))
        share = 1 if normalise == "token" else 1 / count
        (-example.weight * share * log_likelihood).backward()
    return torch.cat([p.grad.flatten().clone() for p in model.parameters()])
