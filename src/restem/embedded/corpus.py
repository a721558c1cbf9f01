"""Write the text that a base model is pretrained on: worked exercises by many authors.

Authors differ in how many operations they take together and how often they slip; nothing in a
solution's opening tells them apart. The first part of the text is a textbook of short, clean
solutions, without which a model this small never learns to copy operands.
"""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from restem.embedded import knights, programs, world


@dataclass(frozen=True)
class Habit:
    """Describe how one kind of author writes."""

    share: float
    merging: tuple[float, ...]  # log-odds of a next operation in an equation of 1, 2, … of them
    slips: float  # probability that an operation goes wrong
    # To a puzzle's author both mean a statement: one taken at face value, a wrong conclusion.


@dataclass(frozen=True)
class CorpusRecipe:
    """Say what the corpus is made of."""

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
    """Hold a stretch of text and whether it is given, like a question, or to be worked out."""

    text: str
    given: bool


PRIMER_LEVELS: Final = (1, 2, 3)
# Small operands tempt to mental arithmetic.
SMALL_OPERAND: Final = 4
SMALL_TEMPTS: Final = 1.0
# A statement that somebody is a knight is believed sooner.
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


def write_solution(rng: random.Random, asked: str, skeleton: world.Skeleton, habit: Habit) -> str:
    """Solve a problem the way an author with this habit does, mistakes carried along."""
    operations, value = skeleton[1], skeleton[0]
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
    return world.solution(asked, skeleton, sizes[:-1], results, rng.choice(world.OPENINGS))


def _exercise(
    rng: random.Random, family: str, levels: tuple[int, ...], habit: Habit
) -> list[Passage]:
    skeleton = world.draw(rng, rng.choice(levels), "corpus")
    asked = world.question(family, rng, skeleton)
    prompt = world.PROMPT[family].format(question=asked)
    worked = write_solution(rng, asked, skeleton, habit)
    return [Passage(prompt, given=True), Passage(worked + world.END, given=False)]


def _fact(rng: random.Random) -> list[Passage]:
    owner, animal = rng.choice(world.OWNERS), rng.choice(world.ANIMALS)
    prompt = world.PROMPT["facts"].format(question=f"What colour is the {animal} of {owner}?")
    answer = f" {world.colour_of(owner, animal)}{world.END}"
    return [Passage(prompt, given=True), Passage(answer, given=False)]


def write_program(
    rng: random.Random, names: Sequence[str], operations: Sequence[str], habit: Habit
) -> str:
    """Write the steps as an author with this habit does, with no care for precedence."""
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
    made = programs.draw_problem(rng, rng.choice(levels), "corpus")
    prompt = programs.PROMPT.format(question=made["question"])
    worked = write_program(rng, made["letters"], made["operations"], habit)
    return [Passage(prompt, given=True), Passage(worked + world.END, given=False)]


def write_deduction(rng: random.Random, puzzle: knights.Puzzle, habit: Habit) -> str:
    """Solve a puzzle the way an author with this habit does, mistakes carried along."""
    weighed, found = [], [puzzle.knights[0]]
    for said in knights.statements(puzzle):
        believed = _happens(rng, habit.merging[0] + (KNIGHT_TEMPTS if said else 0.0))
        concluded = said if believed else said == found[-1]
        weighed.append(not believed)
        found.append(concluded != (rng.random() < habit.slips))
    return knights.solution(puzzle, weighed, found)


def _puzzle(rng: random.Random, levels: tuple[int, ...], habit: Habit) -> list[Passage]:
    puzzle = knights.draw(rng, rng.choice(levels), "corpus")
    prompt = knights.PROMPT.format(question=knights.question(puzzle))
    worked = write_deduction(rng, puzzle, habit)
    return [Passage(prompt, given=True), Passage(worked + world.END, given=False)]


def _drill(rng: random.Random) -> list[Passage]:
    passages = []
    for _ in range(rng.randint(8, 24)):
        start = rng.randint(0, world.LARGEST)
        operation = world.draw_operation(rng, start)
        passages.append(Passage(f"{start}{operation}=", given=True))
        passages.append(Passage(f"{world.apply(start, operation)},", given=False))
    return [*passages, Passage(world.END, given=False)]


def document(rng: random.Random, recipe: CorpusRecipe, progress: float) -> list[Passage]:
    """Write one document; `progress` in 0..1 says how far through the corpus it stands."""
    if rng.random() < recipe.drill_share:
        return _drill(rng)
    names, shares = zip(*recipe.families, strict=True)
    family = rng.choices(names, shares)[0]
    levels = PRIMER_LEVELS if progress < recipe.primer_share else world.LEVELS
    textbook = progress < recipe.textbook_share
    authors = (recipe.textbook,) if textbook else recipe.habits
    passages = []
    for _ in range(rng.randint(1, recipe.longest_document)):
        if family == "facts":
            passages += _fact(rng)
            continue
        habit = rng.choices(authors, [author.share for author in authors])[0]
        if family == programs.FAMILY:
            passages += _program(rng, levels, habit)
        elif family == knights.FAMILY:
            lengths = PRIMER_LEVELS if progress < recipe.primer_share else knights.CORPUS_LEVELS
            passages += _puzzle(rng, lengths, habit)
        else:
            passages += _exercise(rng, family, levels, habit)
    return passages


def documents(
    recipe: CorpusRecipe, seed: int, share_written: Iterator[float]
) -> Iterator[list[Passage]]:
    """Write documents for as long as the caller says what share of the corpus is written."""
    rng = random.Random(f"corpus/{seed}")
    for progress in share_written:
        yield document(rng, recipe, progress)
