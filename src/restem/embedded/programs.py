"""Small programs of the embedded world: a skeleton without its start value is a function to write.

A problem names the steps, a solution writes them as assignments, and tests made from the skeleton
run what was written on start values that the problem does not give. Every text is in the grammar of
`restem.embedded.world`, so the embedded models can read and write it.
"""

import random
from collections.abc import Iterator
from typing import Any, Final

from restem.embedded import world

FAMILY: Final = "program"
PROMPT: Final = "Problem: {question}\nAnswer:"
TESTS: Final = 4


def problems(split: str, count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Make the first `count` problems of a split, the same ones every time."""
    endless = _problems(split, random.Random(f"{FAMILY}/{split}/{seed}"))
    chosen = [found for _, found in zip(range(count), endless, strict=False)]
    return [{"id": f"{FAMILY}/{split}/{i}", **found} for i, found in enumerate(chosen)]


def few_shot() -> list[dict[str, Any]]:
    """Give the worked examples of a prompt."""
    rng = random.Random(f"{FAMILY}/shot")
    return [draw_problem(rng, level, "shot") for level in world.SHOT_LEVELS]


def draw_problem(rng: random.Random, level: int, part: str) -> dict[str, Any]:
    """Draw one problem of `level` steps from a part of the skeletons."""
    return _problem(rng, world.draw(rng, level, part))


def program(names: list[str], operations: tuple[str, ...], size: int) -> str:
    """Write the steps as assignments with up to `size` operations each, one to a line."""
    lines: list[str] = []
    taken = size
    for before, after, operation in zip(names, names[1:], operations, strict=False):
        if taken < size and world.joins(operation):
            terms = lines[-1].partition("=")[2]
            lines[-1], taken = f"{after}={terms}{operation}", taken + 1
        else:
            lines.append(f"{after}={before}{operation}")
            taken = 1
    return "\n" + "\n".join(lines)


def _problems(split: str, rng: random.Random) -> Iterator[dict[str, Any]]:
    seen: set[tuple[str, ...]] = set()
    while True:
        skeleton = world.draw(rng, rng.choice(world.LEVELS), split)
        if skeleton[1] not in seen:
            seen.add(skeleton[1])
            yield _problem(rng, skeleton)


def _problem(rng: random.Random, skeleton: world.Skeleton) -> dict[str, Any]:
    operations = skeleton[1]
    first = rng.randrange(len(world.LETTERS) - len(operations))
    names = list(world.LETTERS[first : first + len(operations) + 1])
    steps = [f"{b}={a}{o}" for a, b, o in zip(names, names[1:], operations, strict=False)]
    starts = rng.sample(range(world.LARGEST + 1), TESTS)
    return {
        "question": f"Let ${','.join(steps)}$. Find ${names[-1]}$.",
        "names": (names[0], names[-1]),
        "tests": [(start, world.values((start, operations))[-1]) for start in starts],
        "level": len(operations),
        "subject": world.subject(skeleton),
        "solutions": {
            "terse": program(names, operations, 2),
            "careful": program(names, operations, 1),
        },
    }
