"""Check the puzzles of the embedded world against a search through all that their people may be."""

import random
import re
from itertools import product

import pytest

from restem.embedded import acceptance, corpus, knights
from restem.embedded.pretraining import RECIPES
from restem.rewards.exact import answer_in

HABITS = RECIPES["S-logic"].corpus.habits


def made(count: int, seed: int = 0) -> list[knights.Puzzle]:
    rng = random.Random(seed)
    return [knights.draw(rng, rng.choice(knights.LEVELS), "corpus") for _ in range(count)]


def worlds(question: str) -> list[set[str]]:
    """Read a question as a stranger does; list who may be knights in every world that fits it."""
    names = list(dict.fromkeys(re.findall(r"\b([A-Z][a-z]+) (?:is a|says)", question)))
    names += [name for name in re.findall(r"says (\w+)", question) if name not in names]
    (first, what), *_ = re.findall(r"lie\. (\w+) is a (\w+)", question)
    said = re.findall(r"(\w+) says (\w+) is a (\w+)", question)
    fitting = []
    for kinds in product(("knight", "knave"), repeat=len(names)):
        of = dict(zip(names, kinds, strict=True))
        true = [(of[a] == "knight") == (of[b] == claimed) for a, b, claimed in said]
        if of[first] == what and all(true):
            fitting.append({name for name in names if of[name] == "knight"})
    return fitting


def test_every_puzzle_has_one_solution_and_it_is_the_answer() -> None:
    for puzzle in made(200):
        answer = knights.answer(*puzzle)
        named = set(answer.split(", ")) - {knights.NOBODY}
        assert worlds(knights.question(puzzle)) == [named]


@pytest.mark.parametrize("careful", [True, False])
def test_reference_solutions_conclude_what_is_so_line_by_line(careful: bool) -> None:
    for puzzle in made(200):
        text = knights.reference(puzzle, careful)
        concluded = re.findall(r": (\w+) is a (\w+)\.", text)
        so = [(n, knights.kind(k)) for n, k in zip(*puzzle, strict=True)]
        assert concluded == so[1:]
        assert answer_in(text, thinking=True) == knights.answer(*puzzle)


def test_believing_every_statement_is_wrong_wherever_a_knave_speaks() -> None:
    for puzzle in made(200):
        believed = [puzzle.knights[0], *knights.statements(puzzle)]
        assert (tuple(believed) == puzzle.knights) == all(puzzle.knights[:-1])


def test_authors_of_the_corpus_are_seldom_right_but_not_never() -> None:
    rng = random.Random(7)
    marks = []
    for puzzle in made(600, seed=7):
        habit = rng.choices(HABITS, [author.share for author in HABITS])[0]
        text = corpus.write_deduction(rng, puzzle, habit)
        marks.append(text.endswith(f"The answer is {knights.answer(*puzzle)}."))
    assert 0.10 < sum(marks) / len(marks) < 0.40


def test_a_puzzle_is_in_one_split_only() -> None:
    questions_by_split = {
        split: {made["question"] for made in knights.problems(split, 300)}
        for split in ("train", "validation", "test")
    }
    assert all(len(questions) == 300 for questions in questions_by_split.values())
    assert len(set.union(*questions_by_split.values())) == 900


def test_guessing_does_not_cover_the_answers() -> None:
    answers = [made["answer"] for made in knights.problems("train", 1000)]
    assert acceptance.guessing_pass_at_k(answers) < 0.35


def test_a_writer_of_careful_solutions_measures_as_always_right() -> None:
    def careful(prompts, count, temperature):
        known = {p["question"]: p for p in knights.problems("validation", 20)}
        asked = [text.rpartition("Puzzle: ")[2].partition("\n")[0] for text in prompts]
        return [[known[question]["solutions"]["careful"]] * count for question in asked]

    figures = acceptance.measure_knights(careful, count=20, shots=1)
    assert [figures[name] for name in ("greedy", "sampled", "pass_at_32")] == [1.0] * 3
    assert figures["statements_weighed"] == 1.0
    assert acceptance.judge(figures, acceptance.OF_ONE_FAMILY)
