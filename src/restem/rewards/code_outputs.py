"""Compare what a program returned or printed with what is expected, outside the sandbox.

A returned value arrives as a claim: JSON data as `restem.sandbox.inside.wire` makes them, which may
be forged. No part of a claim becomes a key of a set before its size is checked, so that a program
cannot slow the comparison down by colliding hashes.
"""

import math
from collections.abc import Callable
from typing import Any, Final

from restem.sandbox.inside.wire import Opaque, WireError, unpack

# APPS compares printed numbers with numpy's default tolerances.
RELATIVE: Final = 1e-5
ABSOLUTE: Final = 1e-8


def equal_value(claim: Any, expected: Any) -> bool:
    """Return whether a claim equals a value, as Python's == does for plain data."""
    try:
        return len(claim) == 1 and _equal(claim[0], expected)
    except (WireError, TypeError, ValueError, ArithmeticError, RecursionError):
        return False


def truth(claim: Any) -> bool | None:
    """Return a claim's truth value, as `bool` does for plain data; None for anything else."""
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
    """Turn tuples into lists, as APPS does before it compares the results of calls."""
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
    """Return the items of a container with one of these tags. Raises WireError for any other."""
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


def equal_lines(output: str, expected: str) -> bool:
    """Compare line by line, without blank lines and with single spaces between words."""
    return _lines(output) == _lines(expected)


def equal_numbers(output: str, expected: str) -> bool:
    """Compare line by line; where decimals are expected, numbers may differ by rounding."""
    output_lines, expected_lines = _lines(output), _lines(expected)
    return len(output_lines) == len(expected_lines) and all(
        len(left) == len(right) and all(map(_equal_words, left, right))
        for left, right in zip(output_lines, expected_lines, strict=True)
    )


def equal_unordered(output: str, expected: str) -> bool:
    """Compare the lines in any order, for problems that allow any."""
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


EQUAL_TEXT: Final[dict[str, Callable[[str, str], bool]]] = {
    "lines": equal_lines,
    "numbers": equal_numbers,
    "unordered": equal_unordered,
}
