import pytest
from pydantic import ValidationError

from restem.config.decoding import Decoding
from restem.sampling.engine import Request, draw_seed
from restem.sampling.tokens import shared_length


def test_seed_is_fixed_by_the_address() -> None:
    assert draw_seed("policy", "train", "explore", "p1", 3, 0) == 7558788464034332145


def test_every_part_of_the_address_matters() -> None:
    base = ("policy", "train", "explore", "p1", 3, 0)
    others = [
        ("policy2", *base[1:]),
        ("policy", "test", *base[2:]),
        (*base[:2], "greedy", *base[3:]),
        (*base[:3], "p2", 3, 0),
        (*base[:4], 4, 0),
        (*base[:5], 1),
    ]
    seeds = {draw_seed(*address) for address in [base, *others]}
    assert len(seeds) == 7
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_draws_and_seeds_come_in_pairs() -> None:
    with pytest.raises(ValueError, match="2 draws, 1 seeds"):
        Request("p", "", "x", (0, 1), (5,))


def test_greedy_with_several_draws_is_refused() -> None:
    with pytest.raises(ValidationError, match="all 4 draws would be the same text"):
        Decoding(draws=4, temperature=0, max_tokens=8)
    assert Decoding(draws=1, temperature=0, max_tokens=8).greedy


def test_shared_length_leaves_a_token() -> None:
    assert shared_length([[1, 2, 3], [1, 2, 4], [1, 2, 3, 5]]) == 2
    assert shared_length([[1, 2], [1, 2]]) == 1
    assert shared_length([[1], [1, 2]]) == 0
    assert shared_length([[1, 2, 3]]) == 2
    assert shared_length([[1, 2, 3], [4, 2, 3]]) == 0
