"""Answers in words: the names of sets, small numbers, and plain text."""

import re
from typing import Final

from restem.answers.forms import Form, NamedSet, Scalar, Text
from restem.answers.tree import number

NOTHING: Final = frozenset(
    ("none", "no solution", "no solutions", "no real solution", "no real solutions", "empty set",
     "the empty set", "empty", "no such value", "no such values", "no values", "no value")
)  # fmt: skip
REALS: Final = frozenset(
    ("all real numbers", "all reals", "all real", "the real numbers", "real numbers", "reals",
     "the set of all real numbers", "any real number", "all real values")
)  # fmt: skip
NUMERALS: Final = {
    name: value
    for value, name in enumerate(
        ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
         "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen",
         "nineteen", "twenty")
    )
}  # fmt: skip


def named_text(text: str) -> Form:
    """Read words: a set's name, a small number, or plain text."""
    plain = simplified(text)
    if plain in NOTHING:
        return NamedSet("empty")
    if plain in REALS:
        return NamedSet("R")
    if plain in NUMERALS:
        return Scalar(number(NUMERALS[plain]))
    return Text(plain)


def simplified(text: str) -> str:
    """Return words in lower case with single spaces, without full stops and articles."""
    plain = " ".join(re.sub(r"[^a-z0-9:+/'’-]+", " ", text.lower().replace(".", "")).split())
    return re.sub(r"^(?:the|an?) ", "", plain)
