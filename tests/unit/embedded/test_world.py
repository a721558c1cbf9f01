"""Check the embedded world's problems: right, disjoint and always the same."""

import random
import re
from typing import Any

import pytest

from restem.embedded import corpus, world

PARTS = ("train", "validation", "test")
FAMILIES = ("chain", "story")


def numbers_of(question: str) -> tuple[str, ...]:
    """Read a question's skeleton back from its words, independently of how it was made."""
    start = re.search(r"(?:=|has )(\d+)", question)
    assert start is not None
    return (start[1], *re.findall(r"[+\-*]\d+", question))


def evaluate(numbers: tuple[str, ...]) -> int:
    """Work a skeleton out with Python's own arithmetic."""
    value = int(numbers[0])
    for operation in numbers[1:]:
        value = int(eval(f"{value}{operation}"))
    return value


def reference_problems() -> list[dict[str, Any]]:
    return [p for f in FAMILIES for part in PARTS for p in world.problems(f, part, 100)]


def test_the_same_call_gives_the_same_problems() -> None:
    assert world.problems("chain", "train", 20) == world.problems("chain", "train", 20)


def test_the_first_problems_are_the_same_at_any_count() -> None:
    for family in (*FAMILIES, "facts"):
        assert world.problems(family, "test", 40)[:15] == world.problems(family, "test", 15)


def test_another_seed_gives_other_problems() -> None:
    assert world.problems("chain", "train", 5, seed=1) != world.problems("chain", "train", 5)


def test_ids_name_family_split_and_place() -> None:
    assert world.problems("chain", "test", 18)[17]["id"] == "chain/test/17"


def test_problems_of_one_list_differ() -> None:
    skeletons = [numbers_of(p["question"]) for p in world.problems("chain", "train", 500)]
    assert len(set(skeletons)) == 500


def test_no_skeleton_is_in_two_parts_in_whatever_family() -> None:
    seen: dict[tuple[str, ...], str] = {}
    for part in PARTS:
        for family in FAMILIES:
            for problem in world.problems(family, part, 300):
                assert seen.setdefault(numbers_of(problem["question"]), part) == part


def test_the_corpus_shows_corpus_skeletons_only() -> None:
    rng, recipe = random.Random(5), corpus.CorpusRecipe()
    for progress in (0.0, 0.5, 0.99):
        for _ in range(100):
            text = corpus.document(rng, recipe, progress)
            for question in re.findall(r"^(?:Problem|Question): (.*)$", text, re.MULTILINE):
                start, *operations = numbers_of(question)
                assert world.part((int(start), tuple(operations))) == "corpus"


def test_shots_are_in_no_other_part() -> None:
    for family in FAMILIES:
        for shot in world.few_shot(family):
            start, *operations = numbers_of(shot["question"])
            assert world.part((int(start), tuple(operations))) == "shot"


@pytest.mark.parametrize("style", ["terse", "careful"])
def test_reference_solutions_are_right_in_every_equation(style: str) -> None:
    for problem in reference_problems():
        text = problem["solutions"][style]
        for left, right in re.findall(r"(\d[\d+\-*]*)=(\d+)", text):
            assert eval(left) == int(right), text


def test_reference_solutions_end_in_the_answer() -> None:
    for problem in reference_problems():
        expected = evaluate(numbers_of(problem["question"]))
        ending = (
            f"\\boxed{{{expected}}}" if problem["id"].startswith("chain") else f"#### {expected}"
        )
        assert problem["answer"] == str(expected)
        assert all(text.endswith(ending) for text in problem["solutions"].values())


def test_careful_references_take_one_operation_at_a_time_and_terse_ones_sometimes_two() -> None:
    def sizes(style: str) -> set[int]:
        texts = [problem["solutions"][style] for problem in reference_problems()]
        lefts = [left for text in texts for left in re.findall(r"(\d[\d+\-*]*)=\d", text)]
        return {len(re.findall(r"[+\-*]", left)) for left in lefts}

    assert sizes("careful") == {1}
    assert sizes("terse") == {1, 2}


def test_every_intermediate_value_is_in_range() -> None:
    for problem in reference_problems():
        numbers = numbers_of(problem["question"])
        values = [evaluate(numbers[: i + 1]) for i in range(len(numbers))]
        assert min(values) >= 0 and max(values) <= world.LARGEST


def test_level_counts_operations_and_all_levels_occur() -> None:
    problems = world.problems("chain", "train", 200)
    assert {p["level"] for p in problems} == set(world.LEVELS)
    assert all(p["level"] == len(numbers_of(p["question"])) - 1 for p in problems)


def test_facts_have_one_answer_each_and_use_all_colours() -> None:
    facts = world.problems("facts", "test", 1000)
    assert len({fact["question"] for fact in facts}) == len(facts) == 40
    assert {fact["answer"] for fact in facts} == set(world.COLOURS)


def test_an_unknown_family_is_an_error() -> None:
    with pytest.raises(KeyError):
        world.problems("geometry", "train", 1)
