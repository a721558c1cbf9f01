"""Extract the answer of a completion: which markers a policy accepts, and in which order."""

import re
from collections.abc import Sequence
from typing import Final

from restem.answers.markers import ANSWER_IS, BOX, BOXED, FINAL_ANSWER, HASHES, find

LAST_NUMBER: Final = "last_number"
WHOLE: Final = "whole"

MARKERS: Final = (FINAL_ANSWER, BOXED, HASHES, ANSWER_IS)

_NUMBER = re.compile(r"(?:(?<![\w)])-)?[0-9][0-9,]*(?:\.[0-9]+)?")


def extract(completion: str, markers: Sequence[str] = MARKERS) -> str | None:
    """Return the answer after the first of the markers that the completion has, else None."""
    for marker in markers:
        found = _UNMARKED[marker](completion) if marker in _UNMARKED else find(completion, marker)
        if found:
            return found
    return None


def markers_of(policy: str, strict: tuple[str, ...]) -> tuple[str, ...]:
    """Return what a policy accepts.

    strict: the task's own markers. flexible: every marker, else the last number. answer: every
    marker, else the whole text, for what may be a bare answer.
    """
    return {
        "strict": strict,
        "flexible": (*MARKERS, LAST_NUMBER),
        "answer": (*MARKERS, WHOLE),
    }[policy]


def _last_number(text: str) -> str | None:
    last = None
    for found in _NUMBER.finditer(text):
        last = found
    return last.group().rstrip(",") if last else None


def _whole(text: str) -> str | None:
    """Return a text that is an answer itself; one with an empty or open box is none."""
    return None if BOX.search(text) else text.strip() or None


_UNMARKED: Final = {LAST_NUMBER: _last_number, WHOLE: _whole}
