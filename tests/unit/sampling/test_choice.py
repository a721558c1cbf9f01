import itertools
import math

import pytest
import torch

from restem.config.decoding import Decoding
from restem.sampling.transformers.choice import choose, kept, log_probabilities

SETTINGS = [
    Decoding(draws=1, temperature=t, top_k=k, top_p=p, min_p=m, max_tokens=1)
    for t, k, p, m in itertools.product((0.7, 1.3), (0, 1, 5, 40), (1.0, 0.9, 0.3), (0.0, 0.2))
]


def reference(logits: list[float], decoding: Decoding) -> list[float]:
    """Follow the papers' definitions one token at a time, in vLLM's order."""
    scaled = [value / decoding.temperature for value in logits]
    left = sorted(range(len(scaled)), key=lambda token: -scaled[token])

    def normalised(tokens: list[int]) -> dict[int, float]:
        total = sum(math.exp(scaled[token]) for token in tokens)
        return {token: math.exp(scaled[token]) / total for token in tokens}

    shares = normalised(left)
    left = [token for token in left if shares[token] >= decoding.min_p * shares[left[0]]]
    left = left[: decoding.top_k] if decoding.top_k else left
    shares, nucleus, mass = normalised(left), [], 0.0
    for token in left:
        if mass >= decoding.top_p:
            break
        nucleus.append(token)
        mass += shares[token]
    final = normalised(nucleus)
    return [final.get(token, 0.0) for token in range(len(logits))]


def logits(rows: int = 6, vocabulary: int = 50) -> torch.Tensor:
    return torch.randn(rows, vocabulary, generator=torch.Generator().manual_seed(0)) * 2


@pytest.mark.parametrize("decoding", SETTINGS, ids=str)
def test_filters_leave_the_reference_distribution(decoding: Decoding) -> None:
    probabilities, ids = kept(logits(), decoding)
    whole = torch.zeros(6, 50)
    whole.scatter_(1, torch.arange(50).expand(6, 50) if ids is None else ids, probabilities)
    whole /= whole.sum(1, keepdim=True)
    expected = torch.tensor([reference(row, decoding) for row in logits().tolist()])
    torch.testing.assert_close(whole, expected, atol=1e-6, rtol=1e-5)
    assert torch.equal(whole > 0, expected > 0)


@pytest.mark.parametrize("decoding", SETTINGS[::5], ids=str)
def test_choice_follows_the_distribution(decoding: Decoding) -> None:
    count = 20_000
    uniforms = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    tokens = choose(logits(1).expand(count, -1), decoding, uniforms)
    shares = torch.bincount(tokens, minlength=50) / count
    expected = torch.tensor(reference(logits(1)[0].tolist(), decoding))
    torch.testing.assert_close(shares, expected, atol=2 / count, rtol=0)
    assert not (shares[expected == 0]).any()


def test_the_ends_of_the_unit_interval_stay_inside() -> None:
    decoding = Decoding(draws=1, temperature=1, top_p=0.5, max_tokens=1)
    allowed = (torch.tensor(reference(logits(1)[0].tolist(), decoding)) > 0).nonzero().squeeze(1)
    ends = torch.tensor([0.0, 1 - 2.0**-40], dtype=torch.float64)
    tokens = choose(logits(1).expand(2, -1), decoding, ends)
    assert tokens.tolist() == [allowed[0], allowed[-1]]


def test_greedy_takes_the_likeliest() -> None:
    greedy = Decoding(draws=1, temperature=0, max_tokens=1)
    assert torch.equal(choose(logits(), greedy, torch.zeros(6)), logits().argmax(-1))


def test_log_probabilities_are_untempered() -> None:
    tokens = torch.arange(6)
    expected = logits().log_softmax(-1)[torch.arange(6), tokens]
    torch.testing.assert_close(log_probabilities(logits(), tokens), expected)
