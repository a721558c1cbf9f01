"""Compare what a program claims with what is expected, outside the sandbox.

Claims are JSON data as `restem.sandbox.inside.wire` makes them. They are compared as they stand:
nothing of a claim becomes a key of a set before its size is known, so none can be built to collide.
"""

import math
from collections.abc import Callable
from typing import Any, Final, Literal

from restem.sandbox.inside.wire import Opaque, WireError, unpack

Comparison = Literal["lines", "numbers", "unordered", "exact", "sequences"]

# APPS compares printed numbers with numpy's default tolerances.
RELATIVE: Final = 1e-5
ABSOLUTE: Final = 1e-8


def equal(claim: Any, expected: Any) -> bool:
    """Tell whether a claim equals a value, as Python's == tells for plain data."""
    try:
        return len(claim) == 1 and _equal(claim[0], expected)
    except (WireError, TypeError, ValueError, ArithmeticError, RecursionError):
        return False


def truth(claim: Any) -> bool | None:
    """Return a claim's truth, as `bool` tells it for plain data; None for anything else."""
    try:
        (value,) = claim
        if isinstance(value, dict):
            ((tag, body),) = value.items()
            if tag in ("tuple", "set", "frozenset", "dict"):
                return bool(body)
        return bool(value if isinstance(value, list) else unpack([value]))
    except (WireError, TypeError, ValueError, ArithmeticError, RecursionError):
        return None


def as_sequences(claim: Any) -> Any:
    """Make tuples lists, as APPS does before it compares the results of calls."""
    if isinstance(claim, list):
        return [as_sequences(item) for item in claim]
    if isinstance(claim, dict) and list(claim) == ["tuple"] and isinstance(claim["tuple"], list):
        return [as_sequences(item) for item in claim["tuple"]]
    return claim


def _equal(claim: Any, expected: Any) -> bool:
    if isinstance(expected, list):
        return isinstance(claim, list) and _equal_items(claim, expected)
    if isinstance(expected, tuple):
        return _equal_items(_body(claim, "tuple"), list(expected))
    if isinstance(expected, (set, frozenset)):
        return _equal_sets(_body(claim, "set", "frozenset"), expected)
    if isinstance(expected, dict):
        return _equal_dicts(_body(claim, "dict"), expected)
    value = unpack([claim])
    return not isinstance(value, (Opaque, list)) and bool(value == expected)


def _body(claim: Any, *tags: str) -> list[Any]:
    """Return the items of a tagged container; raises WireError for anything else."""
    for tag in tags:
        if isinstance(claim, dict) and list(claim) == [tag] and isinstance(claim[tag], list):
            body: list[Any] = claim[tag]
            return body
    raise WireError("not such a container")


def _equal_items(claims: list[Any], expected: list[Any]) -> bool:
    return len(claims) == len(expected) and all(map(_equal, claims, expected))


def _equal_sets(claims: list[Any], expected: set[Any] | frozenset[Any]) -> bool:
    return len(claims) == len(expected) and {unpack([item]) for item in claims} == expected


def _equal_dicts(claims: list[Any], expected: dict[Any, Any]) -> bool:
    if len(claims) != len(expected):
        return False
    claimed = {unpack([key]): item for key, item in claims}
    return len(claimed) == len(expected) and all(
        key in claimed and _equal(claimed[key], item) for key, item in expected.items()
    )


def printed(comparison: Comparison) -> Callable[[str, str], bool]:
    """Return the comparison of printed text of that name."""
    return {"lines": equal_lines, "numbers": equal_numbers, "unordered": equal_unordered}[
        str(comparison)
    ]


def equal_lines(output: str, expected: str) -> bool:
    """Compare line by line; white space inside a line is one space, blank lines at the end none."""
    return _lines(output) == _lines(expected)


def equal_numbers(output: str, expected: str) -> bool:
    """Compare line by line; where fractions are expected, numbers may differ by a rounding."""
    ours, theirs = _lines(output), _lines(expected)
    return len(ours) == len(theirs) and all(
        len(left) == len(right) and all(map(_equal_words, left, right))
        for left, right in zip(ours, theirs, strict=True)
    )


def equal_unordered(output: str, expected: str) -> bool:
    """Compare the lines in any order, for problems that state so."""
    return sorted(_lines(output)) == sorted(_lines(expected))


def _lines(text: str) -> list[list[str]]:
    lines = [line.split() for line in text.strip().splitlines()]
    return [line for line in lines if line]


def _equal_words(word: str, expected: str) -> bool:
    if word == expected:
        return True
    if "." not in expected and "e" not in expected.lower():
        return False
    try:
        left, right = float(word), float(expected)
    except ValueError:
        return False
    return math.isfinite(right) and math.isclose(left, right, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
