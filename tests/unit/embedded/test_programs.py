"""Check the small programs of the embedded world against Python itself."""

import random

import pytest

from restem.embedded import acceptance, corpus, programs, world
from restem.embedded.pretraining import RECIPES

HABITS = RECIPES["S-programs"].corpus.habits


def made(count: int, seed: int = 0) -> list[dict]:
    rng = random.Random(seed)
    return [programs.draw_problem(rng, rng.choice(world.LEVELS), "corpus") for _ in range(count)]


def passes(problem: dict, listing: str) -> bool:
    """Run a listing as Python on every start value of the problem's tests."""
    given, *_, wanted = problem["letters"]
    for start, end in problem["tests"]:
        values = {given: start}
        exec(listing.strip(), {}, values)
        if values.get(wanted) != end:
            return False
    return True


@pytest.mark.parametrize("style", ["terse", "careful"])
def test_reference_programs_pass_their_tests(style: str) -> None:
    assert all(passes(problem, problem["solutions"][style]) for problem in made(300))


def test_taking_every_step_together_is_wrong() -> None:
    for problem in made(300):
        operations = problem["operations"]
        together = programs.program(problem["letters"], operations, [len(operations)])
        first = min(operations.index(times) for times in world.TIMES if times in operations[1:])
        if not {operation[0] for operation in operations[:first]} <= {"*"}:
            assert not passes(problem, together), (problem["question"], together)


def test_a_listing_is_worked_out_as_python_does() -> None:
    rng = random.Random(5)
    for problem in made(400, seed=5):
        habit = rng.choice(HABITS)
        listing = corpus.write_program(rng, problem["letters"], problem["operations"], habit)
        given, *_, wanted = problem["letters"]
        for start, _ in problem["tests"]:
            values = {given: start}
            exec(listing.strip(), {}, values)
            assert programs.run(listing, given, start)[wanted] == values[wanted]


@pytest.mark.parametrize("listing", ["", "b=c+1", "b=a+", "import os", "b=a+1\nc=b**2"])
def test_what_is_no_assignment_gives_no_value(listing: str) -> None:
    assert "c" not in programs.run(listing, "a", 3)


def test_authors_of_the_corpus_are_seldom_right_but_not_never() -> None:
    rng = random.Random(7)
    marks = []
    for problem in made(400, seed=7):
        habit = rng.choices(HABITS, [author.share for author in HABITS])[0]
        listing = corpus.write_program(rng, problem["letters"], problem["operations"], habit)
        marks.append(passes(problem, listing))
    assert 0.05 < sum(marks) / len(marks) < 0.40


def test_the_start_value_of_a_program_does_not_decide_its_part() -> None:
    for split in ("train", "validation", "test"):
        for problem in programs.problems(split, 100):
            parts = {world.part((0, problem["operations"]))}
            assert parts == {split}, problem["question"]


def test_a_writer_of_careful_programs_measures_as_always_right() -> None:
    def careful(prompts, count, temperature):
        known = {p["question"]: p for p in programs.problems("validation", 20)}
        asked = [text.rpartition("Problem: ")[2].partition("\n")[0] for text in prompts]
        return [[known[question]["solutions"]["careful"]] * count for question in asked]

    figures = acceptance.measure_programs(careful, count=20, shots=1)
    assert [figures[name] for name in ("greedy", "sampled", "pass_at_32")] == [1.0] * 3
    assert figures["operations_per_line"] == 1.0
    assert acceptance.judge(figures, acceptance.OF_ONE_FAMILY)
