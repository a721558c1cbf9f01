import itertools
import math

import pytest
import torch

from restem.config.decoding import Decoding
from restem.sampling.transformers.next_token import (
    filtered,
    log_probabilities,
    sample_tokens,
    splitmix64,
    uniforms,
)

GREEDY = Decoding(draws=1, temperature=0, max_tokens=1)
SETTINGS = [
    Decoding(draws=1, temperature=t, top_k=k, top_p=p, min_p=m, max_tokens=1)
    for t, k, p, m in itertools.product((0.7, 1.3), (0, 1, 5, 40), (1.0, 0.9, 0.3), (0.0, 0.2))
]


def reference(logits: list[float], decoding: Decoding) -> list[float]:
    """Follow the papers' definitions one token at a time, in vLLM's order."""
    scaled = [value / decoding.temperature for value in logits]
    candidates = sorted(range(len(scaled)), key=lambda token: -scaled[token])

    def normalised(tokens: list[int]) -> dict[int, float]:
        total = sum(math.exp(scaled[token]) for token in tokens)
        return {token: math.exp(scaled[token]) / total for token in tokens}

    shares = normalised(candidates)
    candidates = [
        token for token in candidates if shares[token] >= decoding.min_p * shares[candidates[0]]
    ]
    candidates = candidates[: decoding.top_k] if decoding.top_k else candidates
    shares, nucleus, mass = normalised(candidates), [], 0.0
    for token in candidates:
        if mass >= decoding.top_p:
            break
        nucleus.append(token)
        mass += shares[token]
    final = normalised(nucleus)
    return [final.get(token, 0.0) for token in range(len(logits))]


def logits(rows: int = 6, vocabulary: int = 50) -> torch.Tensor:
    return torch.randn(rows, vocabulary, generator=torch.Generator().manual_seed(0)) * 2


@pytest.mark.parametrize("vocabulary", [50, 50257, 100352, 128256, 151936, 151937])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_largest_logits_are_found_in_a_vocabulary_of_any_size(
    vocabulary: int, dtype: torch.dtype
) -> None:
    many = (logits(9, vocabulary) * 2).to(dtype)  # many equal ones in half precision
    many[1, 7], many[2, 3:] = torch.nan, many[2, 3].item()
    greedy, top = GREEDY, GREEDY.model_copy(update={"temperature": 1.0, "top_k": 40})
    assert torch.equal(sample_tokens(many, greedy, torch.zeros(9)), many.argmax(-1))
    _, ids = filtered(many[2:], top)
    assert ids is not None
    found, expected = many[2:].gather(-1, ids), many[2:].topk(40).values
    assert torch.equal(found.sort(-1, descending=True).values, expected)
    assert (ids.diff(dim=-1) > 0).all()
    assert sample_tokens(many, top, torch.zeros(9)).max() < vocabulary


@pytest.mark.parametrize("decoding", SETTINGS, ids=str)
def test_filters_leave_the_reference_distribution(decoding: Decoding) -> None:
    probabilities, ids = filtered(logits(), decoding)
    whole = torch.zeros(6, 50)
    whole.scatter_(1, torch.arange(50).expand(6, 50) if ids is None else ids, probabilities)
    whole /= whole.sum(1, keepdim=True)
    expected = torch.tensor([reference(row, decoding) for row in logits().tolist()])
    torch.testing.assert_close(whole, expected, atol=1e-6, rtol=1e-5)
    assert torch.equal(whole > 0, expected > 0)


@pytest.mark.parametrize("decoding", SETTINGS[::5], ids=str)
def test_choice_follows_the_distribution(decoding: Decoding) -> None:
    count = 20_000
    numbers = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    tokens = sample_tokens(logits(1).expand(count, -1), decoding, numbers)
    shares = torch.bincount(tokens, minlength=50) / count
    expected = torch.tensor(reference(logits(1)[0].tolist(), decoding))
    torch.testing.assert_close(shares, expected, atol=2 / count, rtol=0)
    assert not (shares[expected == 0]).any()


def test_the_ends_of_the_unit_interval_stay_inside() -> None:
    decoding = Decoding(draws=1, temperature=1, top_p=0.5, max_tokens=1)
    allowed = (torch.tensor(reference(logits(1)[0].tolist(), decoding)) > 0).nonzero().squeeze(1)
    ends = torch.tensor([0.0, 1 - 2.0**-40], dtype=torch.float64)
    tokens = sample_tokens(logits(1).expand(2, -1), decoding, ends)
    assert tokens.tolist() == [allowed[0], allowed[-1]]


def test_greedy_takes_the_likeliest() -> None:
    greedy = Decoding(draws=1, temperature=0, max_tokens=1)
    assert torch.equal(sample_tokens(logits(), greedy, torch.zeros(6)), logits().argmax(-1))


def test_log_probabilities_are_untempered() -> None:
    tokens = torch.arange(6)
    expected = logits().log_softmax(-1)[torch.arange(6), tokens]
    torch.testing.assert_close(log_probabilities(logits(), tokens), expected)


def test_a_rows_numbers_do_not_depend_on_how_many_rows_there_are() -> None:
    many, tokens = logits(21, 3000), torch.arange(21)
    alone = [log_probabilities(many[row : row + 1], tokens[row : row + 1]) for row in range(21)]
    assert torch.equal(log_probabilities(many, tokens), torch.cat(alone))


@pytest.mark.parametrize("decoding", SETTINGS, ids=str)
def test_half_precision_is_filtered_as_its_values_in_single_precision(decoding: Decoding) -> None:
    half = logits().bfloat16()
    whole = half.float()
    for some, all_of_them in zip(filtered(half, decoding), filtered(whole, decoding), strict=True):
        assert (some is None and all_of_them is None) or torch.equal(some, all_of_them)
    tokens = torch.arange(6)
    assert torch.equal(log_probabilities(half, tokens), log_probabilities(whole, tokens))


# Published first outputs of SplitMix64 for this seed.
SEED = 1234567
OUTPUTS = [
    6457827717110365317,
    3203168211198807973,
    9817491932198370423,
    4593380528125082431,
    16408922859458223821,
]


def test_streams_are_splitmix64() -> None:
    outputs = [int(splitmix64(torch.tensor([SEED]), k)) % 2**64 for k in range(5)]
    assert outputs == OUTPUTS


def test_uniforms_are_the_high_bits() -> None:
    numbers = [uniforms(torch.tensor([SEED]), k).item() for k in range(5)]
    assert numbers == [(value >> 24) / 2**40 for value in OUTPUTS]


def test_rows_do_not_depend_on_each_other() -> None:
    seeds = torch.tensor([1, 2**63 - 1, 0, 77])
    together = uniforms(seeds, 12)
    assert together.tolist() == [uniforms(seed[None], 12).item() for seed in seeds]


def test_numbers_are_spread_evenly() -> None:
    seeds = torch.arange(2000) * 10**15
    numbers = torch.stack([uniforms(seeds, k) for k in range(50)])
    counts = torch.histc(numbers.float(), 20, 0, 1)
    expected = numbers.numel() / 20
    assert ((counts - expected) ** 2 / expected).sum() < 50
    assert abs(torch.corrcoef(numbers[:2])[0, 1]) < 0.08
