"""Knights and knaves of the embedded world: a line of people who say what the next one is.

Knights tell the truth and knaves lie, so whoever takes every statement at face value is wrong about
those that a knave speaks of. The puzzles are those of Smullyan (1978), "What Is the Name of This
Book?", kept to one chain of statements. A puzzle belongs to one part only (corpus, train, …), by a
hash of who is there and what each is.
"""

import random
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from restem.embedded import world

FAMILY: Final = "knights"
PROMPT: Final = "Puzzle: {question}\nAnswer:"
LEVELS: Final = (3, 4, 5, 6, 7)  # statements
CORPUS_LEVELS: Final = (3, 4, 5, 6)  # the longest puzzles are longer than any that a base has read
SHOT_LEVELS: Final = (3, 4)
RULE: Final = "Knights tell the truth and knaves lie."
NOBODY: Final = "nobody"


class Puzzle(NamedTuple):
    """Hold who stands in the line and whether each is a knight, (people,) both."""

    names: tuple[str, ...]
    knights: tuple[bool, ...]


def problems(split: str, count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Make the first `count` problems of a split, the same ones every time."""
    endless = _problems(split, random.Random(f"{FAMILY}/{split}/{seed}"))
    chosen = [found for _, found in zip(range(count), endless, strict=False)]
    return [{"id": f"{FAMILY}/{split}/{i}", **found} for i, found in enumerate(chosen)]


def few_shot() -> list[dict[str, str]]:
    """Give the worked examples of a prompt, in the terse style."""
    rng = random.Random(f"{FAMILY}/shot")
    puzzles = [draw(rng, level, "shot") for level in SHOT_LEVELS]
    return [{"question": question(p), "solution": reference(p, careful=False)} for p in puzzles]


def draw(rng: random.Random, level: int, part: str) -> Puzzle:
    """Draw a puzzle of `level` statements from one part; at least one of its people is a knave."""
    while True:
        names = tuple(rng.sample(world.NAMES, level + 1))
        knights = tuple(rng.random() < 0.5 for _ in names)
        puzzle = Puzzle(names, knights)
        if not all(knights) and world.part_of(_canonical(puzzle)) == part:
            return puzzle


def question(puzzle: Puzzle) -> str:
    """Word a puzzle: what the first one is, then who says what of the next."""
    lines = [RULE, f"{puzzle.names[0]} is a {kind(puzzle.knights[0])}."]
    for i, said in enumerate(statements(puzzle)):
        lines.append(f"{puzzle.names[i]} says {puzzle.names[i + 1]} is a {kind(said)}.")
    return " ".join([*lines, "Who are knights?"])


def statements(puzzle: Puzzle) -> list[bool]:
    """Return whether each but the last calls the next a knight: the truth where a knight speaks."""
    return [a == b for a, b in zip(puzzle.knights, puzzle.knights[1:], strict=False)]


def solution(puzzle: Puzzle, weighed: Sequence[bool], found: Sequence[bool]) -> str:
    """Write any author's solution, right or wrong, as it follows the prompt.

    weighed: (statements,) whether the author looks at what the speaker is. found: (people,) what
    the author takes each to be.
    """
    lines = []
    for i, said in enumerate(statements(puzzle)):
        speaker = f"{kind(found[i]).title()} {puzzle.names[i]}" if weighed[i] else puzzle.names[i]
        concluded = f"{puzzle.names[i + 1]} is a {kind(found[i + 1])}"
        lines.append(f"{speaker} says {kind(said)}: {concluded}.")
    return " ".join(["", *lines, f"The answer is {answer(puzzle.names, found)}."])


def reference(puzzle: Puzzle, careful: bool) -> str:
    """Write a right solution; one that is not careful weighs only what knaves say."""
    weighed = [careful or not knight for knight in puzzle.knights[:-1]]
    return solution(puzzle, weighed, puzzle.knights)


def answer(names: Sequence[str], knights: Sequence[bool]) -> str:
    """Name the knights in the order of the line."""
    return ", ".join(n for n, k in zip(names, knights, strict=True) if k) or NOBODY


def kind(knight: bool) -> str:
    """Name what somebody is."""
    return "knight" if knight else "knave"


def _canonical(puzzle: Puzzle) -> str:
    return " ".join(f"{n}:{kind(k)}" for n, k in zip(*puzzle, strict=True))


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
