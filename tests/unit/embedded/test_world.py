"""Check the embedded world's problems (right, disjoint, always the same) and its corpus."""

import random
import re
from typing import Any

import pytest

from restem.embedded import corpus, world

PARTS = ("train", "validation", "test")
FAMILIES = ("chain", "story")


def numbers_of(question: str) -> tuple[str, ...]:
    """Read a question's start value and operations back from its words."""
    start = re.search(r"(?:=|has )(\d+)", question)
    assert start is not None
    return (start[1], *re.findall(r"[+\-*]\d+", question))


def evaluate(numbers: tuple[str, ...]) -> int:
    """Work a start value and operations out, one after the other."""
    value = int(numbers[0])
    for operation in numbers[1:]:
        value = int(eval(f"{value}{operation}"))
    return value


def equations(solution: str) -> list[tuple[str, int]]:
    """List the left side of each worked-out equation and what it claims to come to."""
    matches = re.findall(r"(?<![+\-*\d])(\d+(?:[+\-*]\d+)+)=(\d+)", solution)
    return [(left, int(right)) for left, right in matches]


def split_operations(left: str) -> list[str]:
    """Take an equation's operations apart."""
    return re.findall(r"[+\-*]\d+", left)


def wrong_equations(question: str, solution: str) -> int:
    """Count the equations that Python's arithmetic disagrees with, given what stands before."""
    value, wrong = numbers_of(question)[0], 0
    for left, right in equations(solution):
        wrong += eval(left) != right or not re.match(rf"{value}[+\-*]", left)
        value = str(right)
    return wrong


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
            text = "".join(p.text for p in corpus.document(rng, recipe, progress))
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
        stated = [operation for left, _ in equations(text) for operation in split_operations(left)]
        assert stated == list(numbers_of(problem["question"])[1:])
        assert wrong_equations(problem["question"], text) == 0, text


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
        return {len(split_operations(left)) for text in texts for left, _ in equations(text)}

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


def written(habit: corpus.Habit, count: int = 300) -> list[tuple[str, str]]:
    """Pair questions with the solutions of one kind of author."""
    rng, pairs = random.Random(3), []
    for _ in range(count):
        skeleton = world.draw(rng, 5, "corpus")
        question = world.question("chain", rng, skeleton)
        pairs.append((question, corpus.write_solution(rng, question, skeleton, habit)))
    return pairs


def equation_count(habit: corpus.Habit) -> int:
    return sum(len(equations(text)) for _, text in written(habit))


def share_wrong(habit: corpus.Habit) -> float:
    wrong = sum(wrong_equations(question, text) for question, text in written(habit))
    return wrong / equation_count(habit)


def test_an_author_without_slips_is_always_right() -> None:
    assert share_wrong(corpus.Habit(share=1.0, merging=(0.0,), slips=0.0)) == 0.0


def test_an_author_slips_about_as_often_as_the_habit_says() -> None:
    assert 0.2 < share_wrong(corpus.Habit(share=1.0, merging=(-20.0,), slips=0.25)) < 0.3


def test_merging_makes_fewer_equations() -> None:
    careful = equation_count(corpus.Habit(share=1.0, merging=(-20.0,), slips=0.0))
    hasty = equation_count(corpus.Habit(share=1.0, merging=(20.0,), slips=0.0))
    assert careful == 5 * 300
    assert hasty < 0.5 * careful


def test_the_first_part_of_the_text_is_clean_and_short() -> None:
    rng = random.Random(1)
    for _ in range(100):
        passages = corpus.document(rng, corpus.CorpusRecipe(), 0.0)
        for asked, worked in zip(passages[::2], passages[1::2], strict=False):
            if asked.text.endswith(("Solution:", "Answer:")):
                assert wrong_equations(asked.text, worked.text) == 0
                assert len(equations(worked.text)) <= max(corpus.PRIMER_LEVELS)


def test_the_same_seed_writes_the_same_documents() -> None:
    def write(seed: int) -> list[list[corpus.Passage]]:
        return list(corpus.documents(corpus.CorpusRecipe(), seed, iter([0.1, 0.6, 0.9])))

    assert write(0) == write(0)
    assert write(0) != write(1)


def test_given_passages_and_worked_ones_take_turns_and_only_worked_ones_hold_results() -> None:
    rng = random.Random(4)
    for _ in range(100):
        passages = corpus.document(rng, corpus.CorpusRecipe(), 0.9)
        assert not any(re.search(r"[+\-*]\d+=\d", p.text) for p in passages if p.is_prompt)
        assert [p.is_prompt for p in passages[:2]] == [True, False]


def test_solutions_name_their_values_as_the_question_does() -> None:
    for problem in world.problems("chain", "train", 50):
        names = re.findall(r"([a-z])=[a-z]", problem["question"])
        assert re.findall(r"([a-z])=[a-z]", problem["solutions"]["careful"]) == names
    for problem in world.problems("story", "train", 50):
        months = re.findall(r"([A-Z][a-z]{2}) [+\-*]", problem["question"])
        assert re.findall(r"([A-Z][a-z]{2}) [+\-*]", problem["solutions"]["careful"]) == months
