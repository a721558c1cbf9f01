import random
from typing import Any

import pytest

from restem.config.training import Training
from restem.training.attention import Part
from restem.training.examples import Encoded
from restem.training.loss import accumulate
from restem.training.packs import idle, loss_mass, packs

EXAMPLES = [
    Encoded([1, 2, 3, 4], [5, 6, 7], 1.0),
    Encoded([1, 2, 8], [9], 2.0),
    Encoded([1, 2, 3, 4], [9, 9], 1.0),
]


def test_a_tree_holds_what_is_shared_once() -> None:
    (pack,) = packs(EXAMPLES, Training(), 1.0)
    (one,) = pack.passes
    assert len(pack.prefix) == 0
    assert one.ids.tolist() == [[1, 2, 3, 4, 5, 6, 9, 8]]
    assert one.positions.tolist() == [[0, 1, 2, 3, 4, 5, 4, 2]]
    spans = [(0, 2), (2, 4), (4, 6), (6, 7), (7, 8)]
    nodes = tuple(Part(span, span, causal=True) for span in spans)
    assert one.parts == (*nodes, Part((4, 7), (2, 4)), Part((2, 8), (0, 2)))
    assert one.sources.tolist() == [3, 4, 5, 3, 6, 7]
    assert one.labels.tolist() == [5, 6, 7, 9, 9, 9]
    assert one.shares.tolist() == [1, 1, 1, 1, 1, 2]
    assert (one.prefix, one.prompts, one.padding) == (2, 3, 0)


def test_a_prefix_goes_before_passes_that_it_does_not_fit_into() -> None:
    (pack,) = packs(EXAMPLES, Training(pass_tokens=5), 1.0)
    assert pack.prefix.tolist() == [1, 2]
    assert [one.ids.tolist() for one in pack.passes] == [[[3, 4, 5, 6, 9]], [[8]]]
    assert pack.passes[1].parts[-1] == Part((0, 1), (0, 2), far=True)


def test_a_prefix_that_may_not_run_by_itself_is_in_every_pass() -> None:
    made = packs(EXAMPLES, Training(pass_tokens=7), 1.0, far=False)
    passes = [one for pack in made for one in pack.passes]
    assert [one.ids.tolist() for one in passes] == [[[1, 2, 3, 4, 5, 6, 9]], [[1, 2, 8]]]
    assert [one.prefix for one in passes] == [2, 2]
    assert all(len(pack.prefix) == 0 for pack in made)


@pytest.mark.parametrize("padded", [False, True])
def test_idle_passes_change_nothing(llama: Any, padded: bool) -> None:
    llama.zero_grad()
    assert accumulate(llama, [idle(2, padded)]) == 0
    gradients = [p.grad for p in llama.parameters() if p.grad is not None]
    assert all(float(gradient.abs().max()) == 0 for gradient in gradients)
    llama.zero_grad()


def test_rows_without_sharing() -> None:
    (pack,) = packs(EXAMPLES, Training(layout="packed"), 1.0)
    assert pack.passes[0].ids.tolist() == [[1, 2, 3, 4, 5, 6, 1, 2, 8, 1, 2, 3, 4, 9]]
    (pack,) = packs(EXAMPLES, Training(layout="padded"), 1.0)
    rows = [[1, 2, 3, 4, 5, 6], [1, 2, 8, 0, 0, 0], [1, 2, 3, 4, 9, 0]]
    assert pack.passes[0].ids.tolist() == rows
    assert pack.passes[0].sources.tolist() == [3, 4, 5, 8, 15, 16]
    assert pack.passes[0].padding == 4


@pytest.mark.parametrize("far", [True, False])
@pytest.mark.parametrize("layout", ["tree", "packed", "padded"])
def test_passes_keep_to_their_length_and_lose_nothing(layout: str, far: bool) -> None:
    rng = random.Random(0)
    for _ in range(50):
        questions = [[1, 2, *[rng.randrange(9) for _ in range(rng.randrange(1, 6))]] for _ in "abc"]
        examples = [
            Encoded(rng.choice(questions), [rng.randrange(9)] * rng.randrange(1, 8), 1.0)
            for _ in range(rng.randrange(1, 20))
        ]
        limit = rng.randrange(12 if far else 15, 60)
        made = packs(examples, Training(layout=layout, pass_tokens=limit), 1.0, far)
        passes = [one for pack in made for one in pack.passes]
        assert max(one.ids.numel() for one in passes) <= limit
        targets = sorted(token for one in passes for token in one.labels.tolist())
        assert targets == sorted(token for example in examples for token in example.target)


def test_shares_sum_to_one() -> None:
    for normalise in ("token", "example"):
        settings = Training(normalise=normalise, pass_tokens=4)
        mass = loss_mass(EXAMPLES, settings.normalise)
        (pack,) = packs(EXAMPLES, settings, mass)
        assert sum(float(one.shares.sum()) for one in pack.passes) == pytest.approx(1)
