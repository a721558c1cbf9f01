"""Small programs of the embedded world: a skeleton without its start value is a function to write.

A problem names the steps, a solution writes them as assignments, and tests made from the skeleton
run what was written on start values that the problem does not give. At least one step multiplies
what earlier steps made, so that whoever takes steps together without care for precedence is wrong.
Every text is in the grammar of `restem.embedded.world`, so the embedded models can read and write
it.
"""

import random
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from restem.embedded import world

FAMILY: Final = "program"
PROMPT: Final = "Problem: {question}\nAnswer:"
TESTS: Final = 4

_LINE: Final = re.compile(r"([a-z])=([a-z])((?:[+\-*]\d+)*)")
_TERM: Final = re.compile(r"([+\-*])(\d+)")


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
    return _problem(rng, _draw(rng, level, part))


def program(names: Sequence[str], operations: Sequence[str], sizes: Sequence[int]) -> str:
    """Write the steps as assignments, one to a line, that take so many operations each."""
    lines, done = [], 0
    for size in sizes:
        terms = "".join(operations[done : done + size])
        lines.append(f"{names[done + size]}={names[done]}{terms}")
        done += size
    return "\n" + "\n".join(lines)


def run(listing: str, given: str, start: int) -> dict[str, int]:
    """Work out what a listing's lines give to their names; the first line that cannot be ends it.

    Only for looking at a base while it is made; what earns a reward is run as Python.
    """
    values = {given: start}
    for line in listing.strip().split("\n"):
        found = _LINE.fullmatch(line)
        if not found or found[2] not in values:
            break
        value = values[found[2]]
        terms = [(sign, int(n)) for sign, n in _TERM.findall(found[3])]
        while terms and terms[0][0] == "*":
            value *= terms.pop(0)[1]
        values[found[1]] = value + _sum(terms)
    return values


def _sum(terms: list[tuple[str, int]]) -> int:
    """Add terms up, a `*` belonging to the term before it, as in Python."""
    products: list[int] = []
    for sign, n in terms:
        if sign == "*":
            products[-1] *= n
        else:
            products.append(n if sign == "+" else -n)
    return sum(products)


def _draw(rng: random.Random, level: int, part: str) -> world.Skeleton:
    # The start value is not asked for, so it must not decide the part.
    while True:
        skeleton = world.draw_any(rng, max(2, level))
        operations = skeleton[1]
        if set(operations[1:]) & set(world.TIMES) and world.part((0, operations)) == part:
            return skeleton


def _problems(split: str, rng: random.Random) -> Iterator[dict[str, Any]]:
    seen: set[tuple[str, ...]] = set()
    while True:
        skeleton = _draw(rng, rng.choice(world.LEVELS), split)
        if skeleton[1] not in seen:
            seen.add(skeleton[1])
            yield _problem(rng, skeleton)


def _problem(rng: random.Random, skeleton: world.Skeleton) -> dict[str, Any]:
    operations = skeleton[1]
    first = rng.randrange(len(world.LETTERS) - len(operations))
    names = world.LETTERS[first : first + len(operations) + 1]
    steps = [f"{b}={a}{o}" for a, b, o in zip(names, names[1:], operations, strict=False)]
    starts = rng.sample(range(world.LARGEST + 1), TESTS)
    return {
        "question": f"Let ${','.join(steps)}$. Find ${names[-1]}$.",
        "letters": names,
        "operations": operations,
        "tests": [(start, world.values((start, operations))[-1]) for start in starts],
        "level": len(operations),
        "subject": world.subject(skeleton),
        "solutions": {
            "terse": program(names, operations, world.grouped(operations, 2)),
            "careful": program(names, operations, world.grouped(operations, 1)),
        },
    }
