"""Extract the answer from a completion: which markers a mode accepts, and where the answer is.

The last answer that is stated counts, whatever marks it; a box counts more than the sentence around
it. Headings such as `#### Step 2` and sentences such as `the answer is clear` state none.
"""

import re
import string
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

from restem.answers.markers import ANSWER_IS, BOX, BOXED, FINAL_ANSWER, HASHES, find
from restem.answers.statements import stated
from restem.answers.thoughts import after_thoughts

HEADED: Final = "headed"
LAST_NUMBER: Final = "last_number"
WHOLE: Final = "whole"

MARKERS: Final = (FINAL_ANSWER, BOXED, HASHES, ANSWER_IS)
MAX_STATEMENTS: Final = 8  # that are looked at, from the last one on

_LOWER: Final = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
MAX_DISPLAY: Final = 1000

_FORMAL: Final = (FINAL_ANSWER, BOXED, HASHES)
_HOPE: Final = "i hope it is correct"
_NUMBER = re.compile(r"(?:(?<![\w)])-)?[0-9][0-9,]*(?:\.[0-9]+)?")
_SENTENCE_END = re.compile(r"\. |!+ (?=[A-Z][a-z])")
_ANSWER_HEADING = re.compile(
    r"[\s*_#]*(?:the )?(?:final |correct )?(?:answer|result)s?[\s*_]*[:=]?[\s*_]*", re.IGNORECASE
)
_HEADING = re.compile(
    r"[\s*_]*(?:step|part|case|check|verif\w*|explan\w*|conclu\w*|note|summary|solution|proof"
    r"|analysis|reason\w*|method|approach|calculat\w*|example|given|problem|question|find|solv\w*"
    r"|final|answer|result|understand\w*|set(?:ting)?|let|comput\w*|determin\w*|appl\w*|(?!nothing)\w+ing)\b",
    re.IGNORECASE,
)
_NO_ANSWER = re.compile(
    r"(?:not|correct|right|wrong|incorrect|clear|obvious|below|above|as|found|reasonable|in|of|what"
    r"|that|unknown|therefore correct|also|based|obtained|now clear|easy|verified)\b",
    re.IGNORECASE,
)
# `Final Answer: 81`, `**Answer:** 81`, or the heading of the lines that follow.
_HEADED = re.compile(
    r"(?:^[ \t>#*_-]*|(?<=[.!?*] ))(?:(?:so|thus|the|my),? ){0,2}(?:final )?answer[*_ \t]*[:=]"
    r"|^[ \t>#*_]*(?:the )?(?:final )?answer[ \t*_]*$|^#{1,6}[ \t]+(?=\S)",
    re.IGNORECASE | re.MULTILINE,
)
_NUMBER_LIKE = re.compile(r"[-+$\\*]*[0-9][^a-zA-Z]*(?:[A-Za-z]+\s*){0,2}[.*$]*|\$[^$]+\$\.?")
# A formula on lines of its own.
_DISPLAY = re.compile(r"[*_ ]*(?:\\\[\s*\n(.+?)\\\]|\$\$\s*\n(.+?)\$\$)", re.DOTALL)
_MATHEMATICAL = re.compile(r"[0-9\\$^_=<>+√π∞½{}\[\]]|\A\W*[A-Za-z]\W*\Z")
_ANSWER_LIKE = re.compile(r"[-+$\\(\[{.*0-9√π].{0,200}|[A-Za-z]\w*(?:[ ][A-Za-z]+){0,2}", re.DOTALL)


def extract(completion: str, markers: Sequence[str] = MARKERS) -> str | None:
    """Return the last answer at one of the markers, None without any.

    The markers that take the answer from the text as a whole count where no other one is found.
    """
    text = after_thoughts(completion)
    if BOXED in markers and (answer := _last_box(text)):
        return answer
    wordy = None
    for place, marker in sorted(_places(text, markers), reverse=True):
        answer = _AT[marker](text, place) if wordy is None or marker in _FORMAL else None
        if answer and (marker in _FORMAL or _MATHEMATICAL.search(answer.partition(", ")[0])):
            return answer
        wordy = wordy or answer  # "the answer is unique" counts only where nothing is marked
    if wordy:
        return wordy
    for marker in markers:
        if marker in _UNMARKED and (answer := _UNMARKED[marker](text)):
            return answer
    return None


def _last_box(text: str) -> str | None:
    """Return the content of the last box if no other marker follows it; this is the usual case."""
    box = max(text.rfind("\\boxed"), text.rfind("\\fbox"))
    rest = text[box:].lower() if box >= 0 else ""
    if not rest or "answer" in rest or "#" in rest or _HOPE in rest:
        return None
    return find(text, BOXED)


def markers_of(mode: str, strict: tuple[str, ...]) -> tuple[str, ...]:
    """Return the markers that an extraction mode accepts.

    strict: the task's own markers. flexible: every marker, else the last number. answer: every
    marker, else the whole text, which may be a bare answer.
    """
    return {
        "strict": strict,
        "flexible": (*MARKERS, HEADED, LAST_NUMBER),
        "answer": (*MARKERS, HEADED, WHOLE),
    }[mode]


# ---- where markers are ----


def _places(text: str, markers: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Yield the places of markers in a text."""
    lowered = text.lower() if text.isascii() else text.translate(_LOWER)
    if BOXED in markers and (box := max(text.rfind("\\boxed"), text.rfind("\\fbox"))) >= 0:
        yield box, BOXED
    if FINAL_ANSWER in markers:
        # At its end, so that a box inside it does not come after it.
        start = lowered.rfind("final answer is")
        if start >= 0 and (end := lowered.find(_HOPE, start)) >= 0:
            yield end, FINAL_ANSWER
    for marker, phrase, searched in ((ANSWER_IS, "answer is", lowered), (HASHES, "####", text)):
        if marker in markers:
            last = islice(_backwards(searched, phrase), MAX_STATEMENTS)
            yield from ((place, marker) for place in last)
    if HEADED in markers and ("#" in text or "answer" in lowered):
        headings = list(_HEADED.finditer(text))[-MAX_STATEMENTS:]
        yield from ((match.start(), HEADED) for match in headings)


def _backwards(text: str, phrase: str) -> Iterator[int]:
    place = text.rfind(phrase)
    while place >= 0:
        yield place
        place = text.rfind(phrase, 0, place)


# ---- the answer at a place ----


def _boxed(text: str, _: int) -> str | None:
    return find(text, BOXED)


def _final_answer(text: str, _: int) -> str | None:
    answer = find(text, FINAL_ANSWER)
    return stated(answer) if answer else None


def _answer_is(text: str, place: int) -> str | None:
    """Return X of `The answer is X.`, up to the end of the sentence."""
    rest = text[place + len("answer is") :].lstrip(" :\n\t")
    if display := _DISPLAY.match(rest[:MAX_DISPLAY]):
        return (display[1] or display[2]).strip() or None
    line = rest.partition("\n")[0]
    sentence = _sentence(line).strip().removesuffix(".").strip()
    return None if _NO_ANSWER.match(sentence) else stated(sentence) or None


def _hashes(text: str, place: int) -> str | None:
    """Return X of `#### X`, or of the line after `#### Answer`."""
    return _under_heading(text[place + len("####") :].strip(), number_like=False)


def _headed(text: str, place: int) -> str | None:
    """Return X of `Answer: X` and of `### X`, or of the line after `### Answer`."""
    match = _HEADED.match(text, place)
    assert match is not None
    announced = "answer" in match[0].lower()
    answer = _under_heading(text[match.end() :].strip(), number_like=not announced)
    return answer if answer and _ANSWER_LIKE.fullmatch(answer) else None


def _under_heading(text: str, number_like: bool) -> str | None:
    """Return the answer in a heading or in the line after it; None under another heading.

    number_like: whether only a number may be the answer, because any heading is read.
    """
    if display := _DISPLAY.match(text[:MAX_DISPLAY]):
        return (display[1] or display[2]).strip() or None
    line, _, rest = text.partition("\n")
    heading = _ANSWER_HEADING.match(line)
    if heading or not line.strip("*_: "):
        line = (line[heading.end() :] if heading else "") or _first(rest)
    elif _HEADING.match(line) or (number_like and not _NUMBER_LIKE.fullmatch(line[:200])):
        return None
    return stated(_sentence(line)) or None


def _first(text: str) -> str:
    """Return the first line of a text, or the formula that it begins with."""
    display = _DISPLAY.match(text.lstrip()[:MAX_DISPLAY])
    return (display[1] or display[2]) if display else text.lstrip().partition("\n")[0]


def _sentence(line: str) -> str:
    """Return the first sentence of a line; a full stop inside braces does not end it."""
    for end in islice(_SENTENCE_END.finditer(line), MAX_STATEMENTS):
        if line.count("{", 0, end.start()) == line.count("}", 0, end.start()):
            return line[: end.start()]
    return line


_AT: Final = {
    BOXED: _boxed,
    FINAL_ANSWER: _final_answer,
    ANSWER_IS: _answer_is,
    HASHES: _hashes,
    HEADED: _headed,
}


# ---- the text as a whole ----


def _last_number(text: str) -> str | None:
    numbers = _NUMBER.findall(text)
    return numbers[-1].rstrip(",") if numbers else None


def _whole(text: str) -> str | None:
    """Return the text as the answer, unless it has a box, which is then empty or not closed."""
    return None if BOX.search(text) else stated(text) or None


_UNMARKED: Final = {LAST_NUMBER: _last_number, WHOLE: _whole}
