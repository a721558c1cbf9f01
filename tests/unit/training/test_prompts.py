"""A prompt is made of examples of different problems; the best one is the one that scores best."""

import pytest

from restem.training.m_steps.prompt import Shot, best, choose, write

POOL = [Shot(f"p{i}", f"Q{i}:", f" A{i}.{j}\n") for i in range(6) for j in range(2)]


def test_shots_are_of_different_problems() -> None:
    chosen = choose(POOL, 6, [0], 0)
    assert {shot.problem_id for shot in chosen} == {f"p{i}" for i in range(6)}


def test_there_are_never_more_shots_than_problems() -> None:
    assert len(choose(POOL, 50, [0], 0)) == 6
    assert choose([], 3, [0], 0) == []


def test_the_choice_follows_from_seed_and_name_and_not_from_the_order_given() -> None:
    assert choose(POOL, 3, [0], 1) == choose(POOL[::-1], 3, [0], 1)
    different = {write(choose(POOL, 3, [seed], name)) for seed in range(5) for name in range(5)}
    assert len(different) > 20


def test_a_prompt_is_its_examples_one_after_the_other() -> None:
    assert write(POOL[:3]) == "Q0: A0.0\nQ0: A0.1\nQ1: A1.0\n"


@pytest.mark.parametrize(("scores", "index"), [([1, 3, 2], 1), ([2, 2, 1], 0), ([0, 0, 0], 0)])
def test_the_best_prompt_is_the_first_with_the_highest_score(scores: list[int], index: int) -> None:
    names = ["x", "y", "z"]
    given = dict(zip(names, scores, strict=True))
    assert best(names, given.__getitem__) == (names[index], scores)
