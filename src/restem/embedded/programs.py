"""Small programs of the embedded world: a skeleton without its start value is a function to write.

A problem names the steps, a solution writes them as assignments, and tests made from the skeleton
run the program on start values that are not in the problem. At least one step multiplies the result
of earlier steps, so that merging steps without regard to precedence gives a wrong result. Every
text follows the grammar of `restem.embedded.world`, which the embedded models can read and write.
"""

import random
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final

from restem.embedded import world

FAMILY: Final = "program"
PROMPT: Final = "Problem: {question}\nAnswer:"
TESTS: Final = 4

_LINE: Final = re.compile(r"([a-z])=([a-z])((?:[+\-*]\d+)*)")
_TERM: Final = re.compile(r"([+\-*])(\d+)")


def problems(split: str, count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Generate the first `count` problems of a split, reproducibly."""
    endless = _problems(split, random.Random(f"{FAMILY}/{split}/{seed}"))
    return world.numbered(FAMILY, split, islice(endless, count))


def few_shot() -> list[dict[str, Any]]:
    """Return the worked examples of a prompt."""
    rng = random.Random(f"{FAMILY}/shot")
    return [draw_problem(rng, level, "shot") for level in world.SHOT_LEVELS]


def draw_problem(rng: random.Random, level: int, part: str) -> dict[str, Any]:
    """Draw one problem of `level` steps from a part of the skeletons."""
    return _problem(rng, _draw(rng, level, part))


def program(names: Sequence[str], operations: Sequence[str], sizes: Sequence[int]) -> str:
    """Write the steps as assignments, one per line; sizes: the operations in each of them."""
    lines, done = [], 0
    for size in sizes:
        terms = "".join(operations[done : done + size])
        lines.append(f"{names[done + size]}={names[done]}{terms}")
        done += size
    return "\n" + "\n".join(lines)


def run(listing: str, first: str, start: int) -> dict[str, int]:
    """Evaluate a listing up to the first invalid line; return the values by name.

    Only for judging base models while they are made; for rewards, programs run as Python.
    """
    values = {first: start}
    for line in listing.strip().split("\n"):
        assignment = _LINE.fullmatch(line)
        if not assignment or assignment[2] not in values:
            break
        value = values[assignment[2]]
        terms = [(sign, int(n)) for sign, n in _TERM.findall(assignment[3])]
        while terms and terms[0][0] == "*":
            value *= terms.pop(0)[1]
        values[assignment[1]] = value + _sum(terms)
    return values


def _sum(terms: list[tuple[str, int]]) -> int:
    """Add terms; a `*` belongs to the term before it, as in Python."""
    products: list[int] = []
    for sign, n in terms:
        if sign == "*":
            products[-1] *= n
        else:
            products.append(n if sign == "+" else -n)
    return sum(products)


def _draw(rng: random.Random, level: int, part: str) -> world.Skeleton:
    # The start value is not in the problem, so it must not decide the part.
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
