"""Extract the answer from a completion: which markers a mode accepts, and in which order."""

import re
from collections.abc import Sequence
from typing import Final

from restem.answers.markers import ANSWER_IS, BOX, BOXED, FINAL_ANSWER, HASHES, find

LAST_NUMBER: Final = "last_number"
WHOLE: Final = "whole"

MARKERS: Final = (FINAL_ANSWER, BOXED, HASHES, ANSWER_IS)

_NUMBER = re.compile(r"(?:(?<![\w)])-)?[0-9][0-9,]*(?:\.[0-9]+)?")


def extract(completion: str, markers: Sequence[str] = MARKERS) -> str | None:
    """Return the answer at the first of the markers that the completion has, None without any."""
    for marker in markers:
        answer = _UNMARKED[marker](completion) if marker in _UNMARKED else find(completion, marker)
        if answer:
            return answer
    return None


def markers_of(mode: str, strict: tuple[str, ...]) -> tuple[str, ...]:
    """Return the markers that an extraction mode accepts.

    strict: the task's own markers. flexible: every marker, else the last number. answer: every
    marker, else the whole text, which may be a bare answer.
    """
    return {
        "strict": strict,
        "flexible": (*MARKERS, LAST_NUMBER),
        "answer": (*MARKERS, WHOLE),
    }[mode]


def _last_number(text: str) -> str | None:
    numbers = _NUMBER.findall(text)
    return numbers[-1].rstrip(",") if numbers else None


def _whole(text: str) -> str | None:
    """Return the text as the answer, unless it has a box, which is then empty or not closed."""
    return None if BOX.search(text) else text.strip() or None


_UNMARKED: Final = {LAST_NUMBER: _last_number, WHOLE: _whole}
