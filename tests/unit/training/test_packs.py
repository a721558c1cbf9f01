import random
from typing import Any

import pytest
import torch

from restem.config.training import Training
from restem.training.examples import Encoded
from restem.training.loss import accumulate
from restem.training.packs import idle, loss_mass, packs
from restem.training.tree import Part

EXAMPLES = [
    Encoded([1, 2, 3, 4], [5, 6, 7], 1.0),
    Encoded([1, 2, 8], [9], 2.0),
    Encoded([1, 2, 3, 4], [9, 9], 1.0),
]


def test_a_tree_holds_what_is_shared_once() -> None:
    (pack,) = packs(EXAMPLES, Training(), 1.0)
    (one_pass,) = pack.passes
    assert len(pack.prefix) == 0
    assert one_pass.ids.tolist() == [[1, 2, 3, 4, 5, 6, 9, 8]]
    assert one_pass.positions.tolist() == [[0, 1, 2, 3, 4, 5, 4, 2]]
    spans = [(0, 2), (2, 4), (4, 6), (6, 7), (7, 8)]
    nodes = tuple(Part(span, span, causal=True) for span in spans)
    assert one_pass.parts == (*nodes, Part((4, 7), (2, 4)), Part((2, 8), (0, 2)))
    assert one_pass.sources.tolist() == [3, 4, 5, 3, 6, 7]
    assert one_pass.labels.tolist() == [5, 6, 7, 9, 9, 9]
    assert one_pass.shares.tolist() == [1, 1, 1, 1, 1, 2]
    assert (one_pass.prefix, one_pass.prompts, one_pass.padding) == (2, 3, 0)


def test_a_prefix_goes_before_passes_that_it_does_not_fit_into() -> None:
    (pack,) = packs(EXAMPLES, Training(pass_tokens=5), 1.0)
    assert pack.prefix.tolist() == [1, 2]
    assert [one_pass.ids.tolist() for one_pass in pack.passes] == [[[3, 4, 5, 6, 9]], [[8]]]
    assert pack.passes[1].parts[-1] == Part((0, 1), (0, 2), far=True)


def test_a_prefix_that_may_not_run_by_itself_is_in_every_pass() -> None:
    result = packs(EXAMPLES, Training(pass_tokens=7), 1.0, separate_prefix=False)
    passes = [one_pass for pack in result for one_pass in pack.passes]
    assert [one_pass.ids.tolist() for one_pass in passes] == [[[1, 2, 3, 4, 5, 6, 9]], [[1, 2, 8]]]
    assert [one_pass.prefix for one_pass in passes] == [2, 2]
    assert all(len(pack.prefix) == 0 for pack in result)


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
    rows = [[[1, 2, 8]], [[1, 2, 3, 4, 9, 0], [1, 2, 3, 4, 5, 6]]]
    assert [one_pass.ids.tolist() for one_pass in pack.passes] == rows
    assert pack.passes[1].sources.tolist() == [3, 4, 9, 10, 11]
    assert [one_pass.padding for one_pass in pack.passes] == [0, 1]


@pytest.mark.parametrize("separate_prefix", [True, False])
@pytest.mark.parametrize("layout", ["tree", "packed", "padded"])
def test_passes_keep_to_their_length_and_lose_nothing(layout: str, separate_prefix: bool) -> None:
    rng = random.Random(0)
    for _ in range(50):
        questions = [[1, 2, *[rng.randrange(9) for _ in range(rng.randrange(1, 6))]] for _ in "abc"]
        examples = [
            Encoded(rng.choice(questions), [rng.randrange(9)] * rng.randrange(1, 8), 1.0)
            for _ in range(rng.randrange(1, 20))
        ]
        limit = rng.randrange(12 if separate_prefix else 15, 60)
        result = packs(examples, Training(layout=layout, pass_tokens=limit), 1.0, separate_prefix)
        passes = [one_pass for pack in result for one_pass in pack.passes]
        assert max(one_pass.ids.numel() for one_pass in passes) <= limit
        targets = sorted(token for one_pass in passes for token in one_pass.labels.tolist())
        assert targets == sorted(token for example in examples for token in example.target)


def test_shares_sum_to_one() -> None:
    for normalise in ("token", "example"):
        settings = Training(normalise=normalise, pass_tokens=4)
        mass = loss_mass(EXAMPLES, settings.normalise)
        (pack,) = packs(EXAMPLES, settings, mass)
        assert sum(float(one_pass.shares.sum()) for one_pass in pack.passes) == pytest.approx(1)


def test_a_beginning_of_a_few_tokens_is_not_worth_sharing() -> None:
    """Each example then is one node, as in packing, and no crossing costs a call."""
    examples = [Encoded([1, 2, *range(10 * i, 10 * i + 60)], [5] * 90, 1.0) for i in range(1, 6)]
    for limit in (10_000, 300):
        [tree], [packed] = (
            packs(examples, Training(layout=layout, pass_tokens=limit), 1.0)
            for layout in ("tree", "packed")
        )
        assert len(tree.passes) == len(packed.passes)
        for ours, theirs in zip(tree.passes, packed.passes, strict=True):
            assert ours.parts == theirs.parts
            for name in ("ids", "positions", "sources", "labels", "shares"):
                assert torch.equal(getattr(ours, name), getattr(theirs, name))
        assert sum(len(one_pass.parts) for one_pass in tree.passes) == len(examples)
    shared = [Encoded([*range(60), i], [5] * 20, 1.0) for i in range(5)]
    [pack] = packs(shared, Training(pass_tokens=10_000), 1.0)
    assert pack.passes[0].prefix == 60
