"""Check the rule that accepts a base, at its borders and on made-up models."""

import re
from collections.abc import Sequence

import pytest

from restem.embedded import acceptance, world

GOOD = {name: (low + high) / 2 for name, (low, high) in acceptance.BOUNDS.items()}


def oracle(prompts: Sequence[str], count: int, temperature: float) -> list[list[str]]:
    """Complete every prompt carefully and rightly, from wherever it stands."""
    return [[finish(prompt)] * count for prompt in prompts]


def finish(prompt: str) -> str:
    last = prompt.rpartition(world.END)[2]
    fact = re.search(r"the (\w+) of (\w+)\?", last)
    if fact:
        return f" {world.colour_of(fact[2], fact[1])}"
    asked = last.removeprefix("Problem: ").partition("\n")[0]
    start = re.findall(r"=(\d+)", asked)[0]
    skeleton = (int(start), tuple(re.findall(r"[+\-*]\d+", asked)))
    begun = last.partition("Solution:")[2]
    whole = world.reference(asked, skeleton, 1, begun[: begun.find(" $")] or " So")
    return whole[len(begun) :]


def test_a_base_in_the_middle_of_every_bound_is_accepted() -> None:
    assert acceptance.judge(GOOD) == []


@pytest.mark.parametrize("name", acceptance.BOUNDS)
@pytest.mark.parametrize("end", [0, 1])
def test_a_bound_itself_is_accepted_and_a_hair_beyond_is_not(name: str, end: int) -> None:
    edge = acceptance.BOUNDS[name][end]
    beyond = edge + (1e-6 if end else -1e-6)
    assert acceptance.judge(GOOD | {name: edge}) == []
    assert acceptance.judge(GOOD | {name: beyond})[0].startswith(name)


def test_every_broken_bound_is_named_at_once() -> None:
    reasons = acceptance.judge(GOOD | {"greedy": 0.9, "facts": 0.0})
    assert [reason.split()[0] for reason in reasons] == ["greedy", "facts"]


def test_a_missing_figure_is_an_error_not_an_acceptance() -> None:
    with pytest.raises(KeyError):
        acceptance.judge({"greedy": 0.3})


def test_guessing_does_not_solve_the_task() -> None:
    low, high = acceptance.BOUNDS["guessing_pass_at_32"]
    for family in ("chain", "story"):
        for split in ("train", "test"):
            answers = [p["answer"] for p in world.problems(family, split, 1500)]
            assert low < acceptance.guessing_pass_at_k(answers) < high


def test_guessing_among_few_answers_would() -> None:
    assert acceptance.guessing_pass_at_k(["1", "2", "3"] * 20) > 0.99


def test_answers_cover_the_range() -> None:
    answers = {int(p["answer"]) for p in world.problems("chain", "train", 3000)}
    assert answers >= set(range(2, world.LARGEST + 1))


def test_pass_at_k_is_the_chance_of_a_right_one_among_k() -> None:
    assert acceptance.pass_at_k(0, 32, 8) == 0.0
    assert acceptance.pass_at_k(1, 4, 2) == pytest.approx(0.5)
    assert acceptance.pass_at_k(32, 32, 1) == 1.0


def test_rare_openings_do_not_widen_the_spread() -> None:
    marks = {
        " So": [True, False] * 50,
        " Now": [False] * 3 + [True],
        " Then": [True] * 40 + [False] * 60,
    }
    assert acceptance.opening_spread(marks) == pytest.approx(0.1)


def test_a_model_that_is_always_right_measures_as_such() -> None:
    figures = acceptance.measure(oracle, count=20, shots=1)
    perfect = ("greedy", "sampled", "pass_at_32", "copying", "arithmetic", "facts")
    assert [figures[name] for name in perfect] == [1.0] * 6
    assert figures["careful_accuracy"] == figures["operations_per_equation"] == 1.0
    assert any(reason.startswith("greedy") for reason in acceptance.judge(figures))


def test_a_model_that_says_nothing_measures_as_nothing() -> None:
    def silent(prompts: Sequence[str], count: int, temperature: float) -> list[list[str]]:
        return [[""] * count for _ in prompts]

    figures = acceptance.measure(silent, count=10, shots=1)
    for name in ("greedy", "sampled", "pass_at_32", "copying", "arithmetic", "careful_accuracy"):
        assert figures[name] == 0.0


def test_prompts_end_where_the_completion_begins() -> None:
    text = acceptance.prompt("chain", "Let $a=1,b=a+2$. Find $b$.", shots=1)
    assert text.endswith("Find $b$.\nSolution:")
    assert text.count("Problem:") == 2
