"""Write the corpus that a base model is pretrained on: worked exercises by many authors.

Authors differ in how many operations they merge into one equation and in how often they make a
mistake; the opening of a solution does not reveal its author. The first part of the corpus is a
textbook of short, correct solutions; without it a model this small never learns to copy operands.
"""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from restem.embedded import knights, programs, world


@dataclass(frozen=True)
class Habit:
    """How one kind of author writes."""

    share: float
    merging: tuple[float, ...]  # log-odds of adding an operation to an equation of 1, 2, … of them
    slips: float  # probability of a mistake in an operation
    # In puzzles: the log-odds of taking a statement at face value, and of a wrong conclusion.


@dataclass(frozen=True)
class CorpusRecipe:
    """What the corpus is made of."""

    habits: tuple[Habit, ...] = (
        Habit(share=0.03, merging=(-4.0,), slips=0.02),
        Habit(share=0.73, merging=(1.1, -0.2), slips=0.07),
        Habit(share=0.12, merging=(3.0,), slips=0.05),
        Habit(share=0.12, merging=(-2.0,), slips=0.30),
    )
    textbook: Habit = Habit(share=1.0, merging=(-9.0,), slips=0.0)
    textbook_share: float = 0.56
    primer_share: float = 0.15  # of the whole text: the textbook's short exercises
    families: tuple[tuple[str, float], ...] = (("chain", 0.55), ("story", 0.25), ("facts", 0.1))
    drill_share: float = 0.1  # of the documents
    longest_document: int = 2


class Passage(NamedTuple):
    """A piece of text, and whether it is a prompt or something to work out."""

    text: str
    is_prompt: bool


PRIMER_LEVELS: Final = (1, 2, 3)
# Authors tend to merge operations with small operands.
SMALL_OPERAND: Final = 4
SMALL_TEMPTS: Final = 1.0
# Authors tend to believe that somebody is a knight.
KNIGHT_TEMPTS: Final = 2.0
SLIPS: Final = (-10, -3, -2, -1, 1, 2, 3, 10)


def _slipped(rng: random.Random, value: int) -> int:
    near = [value + slip for slip in SLIPS if 0 <= value + slip <= world.LARGEST]
    return rng.choice(near)


def _merges(rng: random.Random, habit: Habit, taken: int, operation: str) -> bool:
    return world.joins(operation) and _tempted(rng, habit, taken, operation)


def _tempted(rng: random.Random, habit: Habit, taken: int, operation: str) -> bool:
    small = world.joins(operation) and len(operation) == 2 and int(operation[1]) <= SMALL_OPERAND
    odds = habit.merging[min(taken, len(habit.merging)) - 1] + (SMALL_TEMPTS if small else 0.0)
    return _happens(rng, odds)


def _happens(rng: random.Random, odds: float) -> bool:
    """Draw by log-odds."""
    return rng.random() < 1 / (1 + math.exp(-odds))


def write_solution(
    rng: random.Random, question: str, skeleton: world.Skeleton, habit: Habit
) -> str:
    """Solve a problem as an author with this habit does; mistakes are carried forward."""
    value, operations = skeleton
    sizes, results = [0], []
    for i, operation in enumerate(operations):
        value = min(world.LARGEST, max(0, world.apply(value, operation)))
        if rng.random() < habit.slips:
            value = _slipped(rng, value)
        sizes[-1] += 1
        last = i == len(operations) - 1
        if last or not _merges(rng, habit, sizes[-1], operations[i + 1]):
            results.append(value)
            sizes.append(0)
    return world.solution(question, skeleton, sizes[:-1], results, rng.choice(world.OPENINGS))


def _passages(prompt: str, answer: str) -> list[Passage]:
    return [Passage(prompt, True), Passage(answer + world.END, False)]


def _exercise(
    rng: random.Random, family: str, levels: tuple[int, ...], habit: Habit
) -> list[Passage]:
    skeleton = world.draw(rng, rng.choice(levels), "corpus")
    question = world.question(family, rng, skeleton)
    prompt = world.PROMPT[family].format(question=question)
    return _passages(prompt, write_solution(rng, question, skeleton, habit))


def _fact(rng: random.Random) -> list[Passage]:
    owner, animal = rng.choice(world.OWNERS), rng.choice(world.ANIMALS)
    prompt = world.PROMPT["facts"].format(question=f"What colour is the {animal} of {owner}?")
    return _passages(prompt, f" {world.colour_of(owner, animal)}")


def write_program(
    rng: random.Random, names: Sequence[str], operations: Sequence[str], habit: Habit
) -> str:
    """Write the steps as an author with this habit does, without regard to precedence."""
    written = [
        rng.choice(world.OPERATIONS) if rng.random() < habit.slips else operation
        for operation in operations
    ]
    sizes = [1]
    for operation in written[1:]:
        if _tempted(rng, habit, sizes[-1], operation):
            sizes[-1] += 1
        else:
            sizes.append(1)
    return programs.program(names, written, sizes)


def _program(rng: random.Random, levels: tuple[int, ...], habit: Habit) -> list[Passage]:
    problem = programs.draw_problem(rng, rng.choice(levels), "corpus")
    prompt = programs.PROMPT.format(question=problem["question"])
    return _passages(prompt, write_program(rng, problem["letters"], problem["operations"], habit))


def write_deduction(rng: random.Random, puzzle: knights.Puzzle, habit: Habit) -> str:
    """Solve a puzzle as an author with this habit does; mistakes are carried forward."""
    weighed, concluded = [], [puzzle.knights[0]]
    for statement in knights.statements(puzzle):
        believed = _happens(rng, habit.merging[0] + (KNIGHT_TEMPTS if statement else 0.0))
        is_knight = statement if believed else statement == concluded[-1]
        weighed.append(not believed)
        concluded.append(is_knight != (rng.random() < habit.slips))
    return knights.solution(puzzle, weighed, concluded)


def _puzzle(rng: random.Random, levels: tuple[int, ...], habit: Habit) -> list[Passage]:
    puzzle = knights.draw(rng, rng.choice(levels), "corpus")
    prompt = knights.PROMPT.format(question=knights.question(puzzle))
    return _passages(prompt, write_deduction(rng, puzzle, habit))


def _drill(rng: random.Random) -> list[Passage]:
    passages = []
    for _ in range(rng.randint(8, 24)):
        start = rng.randint(0, world.LARGEST)
        operation = world.draw_operation(rng, start)
        passages.append(Passage(f"{start}{operation}=", True))
        passages.append(Passage(f"{world.apply(start, operation)},", False))
    return [*passages, Passage(world.END, False)]


def document(rng: random.Random, recipe: CorpusRecipe, progress: float) -> list[Passage]:
    """Write one document; progress: its position in the corpus, 0 to 1."""
    if rng.random() < recipe.drill_share:
        return _drill(rng)
    names, shares = zip(*recipe.families, strict=True)
    family = rng.choices(names, shares)[0]
    levels: tuple[int, ...] = PRIMER_LEVELS
    if progress >= recipe.primer_share:
        levels = knights.CORPUS_LEVELS if family == knights.FAMILY else world.LEVELS
    authors = (recipe.textbook,) if progress < recipe.textbook_share else recipe.habits
    passages = []
    for _ in range(rng.randint(1, recipe.longest_document)):
        if family == "facts":
            passages += _fact(rng)
            continue
        habit = rng.choices(authors, [author.share for author in authors])[0]
        if family == knights.FAMILY:
            passages += _puzzle(rng, levels, habit)
        elif family == programs.FAMILY:
            passages += _program(rng, levels, habit)
        else:
            passages += _exercise(rng, family, levels, habit)
    return passages


def documents(
    recipe: CorpusRecipe, seed: int, share_written: Iterator[float]
) -> Iterator[list[Passage]]:
    """Write documents; share_written: the share of the corpus written so far, before each one."""
    rng = random.Random(f"corpus/{seed}")
    for progress in share_written:
        yield document(rng, recipe, progress)
