"""Knights and knaves of the embedded world: a row of people, each of whom describes the next one.

Knights tell the truth and knaves lie, so taking every statement at face value is wrong wherever a
knave speaks. The puzzles are those of Smullyan (1978), "What Is the Name of This Book?", limited to
one chain of statements. A puzzle belongs to one part only (corpus, train, …), by a hash of its
people and what each of them is.
"""

import random
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

from restem.embedded import world

FAMILY: Final = "knights"
PROMPT: Final = "Puzzle: {question}\nAnswer:"
LEVELS: Final = (3, 4, 5, 6, 7)  # statements
CORPUS_LEVELS: Final = (3, 4, 5, 6)  # a base model never reads the longest puzzles in training
SHOT_LEVELS: Final = (3, 4)
RULE: Final = "Knights tell the truth and knaves lie."
NOBODY: Final = "nobody"


class Puzzle(NamedTuple):
    """The people in the row, and whether each is a knight; both have shape (people,)."""

    names: tuple[str, ...]
    knights: tuple[bool, ...]


def problems(split: str, count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Generate the first `count` problems of a split, reproducibly."""
    endless = _problems(split, random.Random(f"{FAMILY}/{split}/{seed}"))
    return world.numbered(FAMILY, split, islice(endless, count))


def few_shot() -> list[dict[str, str]]:
    """Return the worked examples of a prompt, in the terse style."""
    rng = random.Random(f"{FAMILY}/shot")
    puzzles = [draw(rng, level, "shot") for level in SHOT_LEVELS]
    return [{"question": question(p), "solution": reference(p, careful=False)} for p in puzzles]


def draw(rng: random.Random, level: int, part: str) -> Puzzle:
    """Draw a puzzle of `level` statements from one part, with at least one knave."""
    while True:
        names = tuple(rng.sample(world.NAMES, level + 1))
        knights = tuple(rng.random() < 0.5 for _ in names)
        identity = " ".join(f"{n}:{kind(k)}" for n, k in zip(names, knights, strict=True))
        if not all(knights) and world.part_of(identity) == part:
            return Puzzle(names, knights)


def question(puzzle: Puzzle) -> str:
    """Word a puzzle: what the first person is, then what each says about the next."""
    lines = [RULE, f"{puzzle.names[0]} is a {kind(puzzle.knights[0])}."]
    for i, statement in enumerate(statements(puzzle)):
        lines.append(f"{puzzle.names[i]} says {puzzle.names[i + 1]} is a {kind(statement)}.")
    return " ".join([*lines, "Who are knights?"])


def statements(puzzle: Puzzle) -> list[bool]:
    """Return whether each person but the last calls the next one a knight."""
    return [a == b for a, b in zip(puzzle.knights, puzzle.knights[1:], strict=False)]


def solution(puzzle: Puzzle, weighed: Sequence[bool], concluded: Sequence[bool]) -> str:
    """Write a solution, correct or not, as it follows the prompt.

    weighed: (statements,) whether the author considers what the speaker is. concluded: (people,)
    whether the author takes each person for a knight.
    """
    lines = []
    for i, statement in enumerate(statements(puzzle)):
        name, other = puzzle.names[i : i + 2]
        speaker = f"{kind(concluded[i]).title()} {name}" if weighed[i] else name
        lines.append(f"{speaker} says {kind(statement)}: {other} is a {kind(concluded[i + 1])}.")
    return " ".join(["", *lines, f"The answer is {answer(puzzle.names, concluded)}."])


def reference(puzzle: Puzzle, careful: bool) -> str:
    """Write a correct solution; one that is not careful weighs only what knaves say."""
    weighed = [careful or not knight for knight in puzzle.knights[:-1]]
    return solution(puzzle, weighed, puzzle.knights)


def answer(names: Sequence[str], knights: Sequence[bool]) -> str:
    """Name the knights in the order of the row."""
    return ", ".join(n for n, k in zip(names, knights, strict=True) if k) or NOBODY


def kind(knight: bool) -> str:
    """Name what a person is."""
    return "knight" if knight else "knave"


def _problems(split: str, rng: random.Random) -> Iterator[dict[str, Any]]:
    seen: set[Puzzle] = set()
    while True:
        puzzle = draw(rng, rng.choice(LEVELS), split)
        if puzzle in seen:
            continue
        seen.add(puzzle)
        yield {
            "question": question(puzzle),
            "answer": answer(*puzzle),
            "level": len(puzzle.names) - 1,
            "subject": f"{puzzle.knights[:-1].count(False)} lies",
            "solutions": {
                "terse": reference(puzzle, careful=False),
                "careful": reference(puzzle, careful=True),
            },
        }
