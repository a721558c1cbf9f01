"""Problems of the embedded world, generated from a seed and split by a hash.

Two families share one skeleton, a start value and a few operations on it: `chain` words it as a
MATH-like exercise, `story` as a GSM8K-like list of changes. A third, `facts`, asks for arbitrary
associations that only the pretraining corpus can teach, so that forgetting becomes visible.

A skeleton belongs to one part only (corpus, train, validation, test or shot), whatever its
family and wording, because its part depends on nothing but its own hash.
"""

import hashlib
import random
import re
from bisect import bisect
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, islice
from typing import Any, Final

LARGEST: Final = 99
LEVELS: Final = (3, 4, 5, 6, 7, 8)
SHOT_LEVELS: Final = (3, 4)

SMALL: Final = tuple(f"{sign}{n}" for sign in "+-" for n in range(1, 10))
TENS: Final = tuple(f"{sign}{n}" for sign in "+-" for n in (10, 20, 30, 40))
TIMES: Final = ("*2", "*3")
OPERATIONS: Final = SMALL + TENS + TIMES
OPERATION: Final = re.compile(r"[+\-*]\d+")

# By operation: a factor and a term.
_EFFECTS: Final = {o: (int(o[1:]), 0) if o in TIMES else (1, int(o)) for o in OPERATIONS}
_KINDS: Final = (SMALL, TENS, TIMES)
_KINDS_UP_TO: Final = tuple(accumulate((0.64, 0.26, 0.10)))  # how often each is drawn, added up

LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"
MONTHS: Final = (
    *("Jan", "Feb", "Mar", "Apr", "May", "Jun"),
    *("Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
)
NAMES: Final = ("Anna", "Ben", "Ella", "Jack", "Leo", "Lily", "Maria", "Nora", "Omar", "Tom")
THINGS: Final = ("apples", "books", "cards", "coins", "cookies", "marbles", "pencils", "shells")
OWNERS: Final = ("Ida", "Karl")
ANIMALS: Final = (
    *("ant", "bat", "bear", "cat", "cow", "crow", "deer", "dog", "dove", "emu"),
    *("fox", "frog", "goat", "hare", "hen", "lion", "owl", "pig", "swan", "toad"),
)
COLOURS: Final = ("black", "blue", "brown", "green", "grey", "pink", "red", "white")

PROMPT: Final = {
    "chain": "Problem: {question}\nSolution:",
    "story": "Question: {question}\nAnswer:",
    "facts": "Q: {question}\nA:",
}
END: Final = "\n\n"
OPENINGS: Final = (" First", " Now", " So", " Then")

# Upper bound of each part, in thousandths of the hash range.
_PARTS: Final = (
    *(("corpus", 700), ("train", 800), ("validation", 870), ("test", 970), ("shot", 1000)),
)

Skeleton = tuple[int, tuple[str, ...]]


def apply(value: int, operation: str) -> int:
    """Apply one of OPERATIONS, such as `+7` or `*2`, to a value."""
    factor, term = _EFFECTS[operation]
    return value * factor + term


def values(skeleton: Skeleton) -> list[int]:
    """List the start value and the value after each operation."""
    start, operations = skeleton
    return list(accumulate(operations, apply, initial=start))


def part(skeleton: Skeleton) -> str:
    """Name the part that a skeleton belongs to, by its text, such as `6+4*2`."""
    return part_of(f"{skeleton[0]}{''.join(skeleton[1])}")


def part_of(text: str) -> str:
    """Name the part that a problem belongs to, given the text that identifies it."""
    digest = hashlib.sha256(text.encode()).digest()
    place = int.from_bytes(digest[:8], "big") % 1000
    return next(name for name, bound in _PARTS if place < bound)


def draw_operation(rng: random.Random, value: int) -> str:
    """Draw an operation that changes the value and keeps it in 0..99."""
    while True:
        kind = _KINDS[bisect(_KINDS_UP_TO, rng.random() * _KINDS_UP_TO[-1], 0, len(_KINDS) - 1)]
        operation = rng.choice(kind)
        if 0 <= apply(value, operation) <= LARGEST and (value or kind is not TIMES):
            return operation


def draw_any(rng: random.Random, level: int) -> Skeleton:
    """Draw a skeleton of `level` operations; all its values lie in 0..99."""
    start = value = rng.randint(0, LARGEST)
    operations = []
    for _ in range(level):
        operations.append(draw_operation(rng, value))
        value = apply(value, operations[-1])
    return start, tuple(operations)


def draw(rng: random.Random, level: int, part_name: str) -> Skeleton:
    """Draw a skeleton of `level` operations from one part."""
    while True:
        skeleton = draw_any(rng, level)
        if part(skeleton) == part_name:
            return skeleton


def _chain_question(rng: random.Random, skeleton: Skeleton) -> str:
    first = rng.randrange(len(LETTERS) - len(skeleton[1]))
    letters = LETTERS[first : first + len(skeleton[1]) + 1]
    steps = [
        f"{b}={a}{step}" for a, b, step in zip(letters, letters[1:], skeleton[1], strict=False)
    ]
    return f"Let ${letters[0]}={','.join([str(skeleton[0]), *steps])}$. Find ${letters[-1]}$."


def _story_question(rng: random.Random, skeleton: Skeleton) -> str:
    first = rng.randrange(len(MONTHS))
    steps = [f"{MONTHS[(first + i) % len(MONTHS)]} {step}" for i, step in enumerate(skeleton[1])]
    name, things = rng.choice(NAMES), rng.choice(THINGS)
    return f"{name} has {skeleton[0]} {things}. {', '.join(steps)}. How many {things}?"


_QUESTIONS: Final[dict[str, Callable[[random.Random, Skeleton], str]]] = {
    "chain": _chain_question,
    "story": _story_question,
}


def question(family: str, rng: random.Random, skeleton: Skeleton) -> str:
    """Word a skeleton as a question of one family."""
    return _QUESTIONS[family](rng, skeleton)


def labels(family: str, question_text: str) -> list[str]:
    """List the labels of the values in a question; in a story, those of the changes."""
    if family == "chain":
        return re.findall(r"([a-z])=", question_text)
    return re.findall(r"([A-Z][a-z]{2}) [+\-*]", question_text)


def _equation(family: str, names: list[str], before: int, terms: str, value: int) -> str:
    after = before + len(OPERATION.findall(terms))
    if family == "chain":
        return f"{names[after]}={names[before]}{terms}={value}{terms}"
    return f"{names[before]} {terms}: {value}{terms}"


def solution(
    question_text: str, skeleton: Skeleton, sizes: list[int], results: list[int], opening: str
) -> str:
    """Write a worked solution of a question of any family, as it follows the prompt.

    sizes: the number of operations in each equation. results: the claimed result of each equation,
    right or wrong.
    """
    family = "chain" if question_text.startswith("Let") else "story"
    names, value, before, equations = labels(family, question_text), skeleton[0], 0, []
    for size, result in zip(sizes, results, strict=True):
        terms = "".join(skeleton[1][before : before + size])
        equations.append(f"{_equation(family, names, before, terms, value)}={result}")
        before, value = before + size, result
    if family == "chain":
        return f"{opening} ${','.join(equations)}$. \\boxed{{{value}}}"
    return f"{opening} {', '.join(equations)}. #### {value}"


def joins(operation: str) -> bool:
    """Return whether an operation may follow others in one equation: `3+4*2` would not be 14."""
    return operation[0] != "*"


def reference(question_text: str, skeleton: Skeleton, size: int, opening: str) -> str:
    """Write the correct solution with up to `size` operations per equation."""
    by_step, sizes = values(skeleton), grouped(skeleton[1], size)
    results = [by_step[end] for end in accumulate(sizes)]
    return solution(question_text, skeleton, sizes, results, opening)


def grouped(operations: Sequence[str], max_size: int) -> list[int]:
    """Return the sizes of groups of operations that may be in one equation."""
    sizes = [0]
    for operation in operations:
        if sizes[-1] == max_size or (sizes[-1] and not joins(operation)):
            sizes.append(0)
        sizes[-1] += 1
    return sizes


def subject(skeleton: Skeleton) -> str:
    """Name the kind of problem: `scaling` with a multiplication, else `adding`."""
    return "scaling" if set(skeleton[1]) & set(TIMES) else "adding"


def _worked_problems(family: str, split: str, rng: random.Random) -> Iterator[dict[str, Any]]:
    seen: set[Skeleton] = set()
    while True:
        level = rng.choice(LEVELS)
        skeleton = draw(rng, level, split)
        if skeleton in seen:
            continue
        seen.add(skeleton)
        text, opening = question(family, rng, skeleton), rng.choice(OPENINGS)
        yield {
            "question": text,
            "answer": str(values(skeleton)[-1]),
            "level": level,
            "subject": subject(skeleton),
            "solutions": {
                "terse": reference(text, skeleton, 2, opening),
                "careful": reference(text, skeleton, 1, opening),
            },
        }


def colour_of(owner: str, animal: str) -> str:
    """Look up an arbitrary fact of this world."""
    digest = hashlib.sha256(f"{owner}/{animal}".encode()).digest()
    return COLOURS[digest[0] % len(COLOURS)]


def _fact_problems() -> Iterator[dict[str, Any]]:
    for animal in ANIMALS:
        for owner in OWNERS:
            answer = colour_of(owner, animal)
            yield {
                "question": f"What colour is the {animal} of {owner}?",
                "answer": answer,
                "level": 1,
                "subject": f"animals of {owner}",
                "solutions": {"terse": f" {answer}", "careful": f" {answer}"},
            }


def problems(family: str, split: str, count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Generate the first `count` problems of a family's split, reproducibly.

    Facts have one list of 40 for all splits: they are to be recalled, not worked out.
    """
    if family == "facts":
        endless = _fact_problems()
    else:
        endless = _worked_problems(family, split, random.Random(f"{family}/{split}/{seed}"))
    return numbered(family, split, islice(endless, count))


def numbered(family: str, split: str, rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give each problem of a split its id."""
    return [{"id": f"{family}/{split}/{i}", **row} for i, row in enumerate(rows)]


def few_shot(family: str) -> list[dict[str, str]]:
    """Return the worked examples of a prompt, in the terse style that dominates the corpus."""
    if family == "facts":
        return []
    rng = random.Random(f"{family}/shot")
    shots = []
    for level in SHOT_LEVELS:
        skeleton = draw(rng, level, "shot")
        text = question(family, rng, skeleton)
        solution_text = reference(text, skeleton, 2, rng.choice(OPENINGS))
        shots.append({"question": text, "solution": solution_text})
    return shots
