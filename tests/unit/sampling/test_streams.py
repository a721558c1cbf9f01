import torch

from restem.sampling.transformers.choice import mixed, uniforms

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
    found = [int(mixed(torch.tensor([SEED]), k)) % 2**64 for k in range(5)]
    assert found == OUTPUTS


def test_uniforms_are_the_high_bits() -> None:
    found = [uniforms(torch.tensor([SEED]), k).item() for k in range(5)]
    assert found == [(value >> 24) / 2**40 for value in OUTPUTS]


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
