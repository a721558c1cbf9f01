"""Other readings of a pair of answers, to be tried where the first one finds them different.

A pair gives the meaning that one answer alone leaves open: 100,200 is a list beside 100, 200, and
`(C) 15` is a choice and its value beside C or 15.
"""

import re
from collections.abc import Iterator
from typing import Final

Pair = tuple[str, str]

MAX_CHARACTERS: Final = 400

_GROUPED = re.compile(r"[0-9],[0-9]{3}(?![0-9])", re.ASCII)
_SPACED = re.compile(r"[0-9]\s*(?:,\s+|,?\s*(?:\\text\{)?\s*(?:and|or)\s*\}?\s*)-?[0-9]", re.ASCII)
_COMMA = re.compile(r",(?=-?[0-9])", re.ASCII)
_CHOICE_STARTS: Final = frozenset("$\\( ABCDEFGHIJ")
_CHOICE = re.compile(
    r"""\$?\s*(?P<style>\\(?:text|textbf|textrm|mathrm|mathbf|mbox|bf)\s*\{\s*)?
    (?:\((?P<bracketed>[A-J])\)|(?P<bare>[A-J])[).:](?=\s))
    (?P<space>(?:\s*\})?(?:\\[ ,;:!]|[\s~:.]|\\q?quad)*)
    (?P<value>(?:-?(?:[0-9.]|\\[dt]?frac|\\sqrt|\\pi)|\\?\$|\\left|\\text|\().*)""",
    re.VERBOSE | re.DOTALL,
)


def alternatives(gold: str, answer: str) -> list[Pair]:
    """Return other readings of two answers."""
    pairs: list[Pair] = []
    if len(gold) > MAX_CHARACTERS or len(answer) > MAX_CHARACTERS:
        return pairs
    for left, right in ((gold, answer), (answer, gold)):
        if "," in left and _GROUPED.search(left) and _SPACED.search(right):
            pairs.append((_COMMA.sub(", ", left), right))
    if _may_be_choice(gold) or _may_be_choice(answer):
        pairs += _without_choices(gold, answer)
    return pairs


def _may_be_choice(text: str) -> bool:
    return text[:1] in _CHOICE_STARTS and (text[0] != "\\" or text[1:2] in "tmb")


def _without_choices(gold: str, answer: str) -> Iterator[Pair]:
    first, second = _choice(gold), _choice(answer)
    if first and second:
        if first[0] == second[0]:
            yield first[1], second[1]
        return
    for choice, other in ((first, answer), (second, gold)):
        if choice:
            yield choice[0], other
            yield choice[1], other


def _choice(text: str) -> Pair | None:
    r"""Split `(C) 15` and `\textbf{(C)}\ 15` into the letter of the choice and its value."""
    match = _CHOICE.fullmatch(text.strip())
    if match is None or not (match["style"] or match["space"]):
        return None
    value = match["value"].strip()
    if value.count("}") > value.count("{"):
        value = value.removesuffix("}")
    if value.count("$") % 2:
        value = value.removesuffix("$")
    return match["bracketed"] or match["bare"], value
