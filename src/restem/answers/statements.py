"""Read the sentence or heading that states an answer: what follows the answer does not spoil it.

`64 beads in total`, `$64 per week`, `64 (44 + 20)` and `64! Hooray` state 64. A unit stays, because
5 cm is not 5 m. What may change the answer, such as `64 or 65`, `64 if x > 0` or `64 and a half`,
stays too, so that it is compared as a whole.
"""

import re
import unicodedata
from typing import Final

from restem.answers.equations import equations, holds
from restem.answers.units import is_known_unit, is_word

MAX_CHARACTERS: Final = 600

_DIGITS = r"[0-9]+(?:,[0-9]+)*(?:\.[0-9]+)?"
_AMOUNT = re.compile(
    rf"""\$(?P<mathematics>[^$\n]+)\$(?![0-9])
    |\\\((?P<inline>.+?)\\\)|\\\[(?P<display>.+?)\\\]
    |[-+]?[0-9]*\\[dt]?frac\s*\{{[^{{}}]*\}}\s*\{{[^{{}}]*\}}|[0-9]*\\sqrt\s*\{{[^{{}}]*\}}
    |\*\*(?P<bold>[^*\n]+)\*\*
    |(?P<currency>[-+−]?\s?(?:\\?\$|€|£)\s?)?
     [-+−]?(?:{_DIGITS}(?:/[0-9]+|\ [0-9]+/[0-9]+)?|\.[0-9]+)(?:\s?\\?%)?""",
    re.VERBOSE,
)
_PLAIN = re.compile(r"[-+]?\$?[0-9][0-9,.]*%?")
_REMARK = re.compile(r"(.*\S)\s+\(([^()]+)\)")
_PROSE = re.compile(r"[\sA-Za-z'’,;:.!?—–-]*")
_WORD = re.compile(r"[A-Za-z'’]+")
_EXCLAMATION = re.compile(r"!+(?:\s+[A-Z][a-z]|\s*\Z(?<=!!))")
_ARTICLE = re.compile(r"\b[aA]\s+(?=[A-Za-z]{3})|\bI\b(?=\s+[a-z]{2})|\b(?:i\.e|e\.g)\b")
_REASON = re.compile(
    r"(?:\s*[,;:—–-])?\s+(?:because|since|as|which|so|thus|hence|therefore)\s", re.IGNORECASE
)
_CUT = re.compile(
    r"[,;:!?—–]|\s-\s|\s(?:in|altogether|total|overall|of|for|from|at|on|with|by|that|each|every|left"
    r"|remaining|more|fewer|less|after|before|combined|together|now|today|during|a|an|the|to|per"
    r"|as|so|because|since|which|still|already|exactly|again|apiece|away|ago|old|long|tall|wide)\b",
    re.IGNORECASE,
)
_LEADING = re.compile(
    r"(?:(?:therefore|thus|then|hence|clearly|indeed|simply|just|now|exactly|obviously|equal\ to"
    r"|given\ by)\b[\s:,]*)+",
    re.IGNORECASE,
)
# Words after which the answer may be another one.
_CHANGING: Final = frozenset(
    ("or", "nor", "but", "not", "no", "wrong", "incorrect", "false", "if", "unless", "when",
     "where", "instead", "either", "neither", "both", "none", "times", "plus", "minus", "over",
     "divided", "multiplied", "half", "halves", "third", "thirds", "quarter", "quarters",
     "hundred", "thousand", "million", "billion", "trillion", "dozen", "percent", "pi", "sqrt",
     "squared", "cubed", "infinity", "base", "mod", "modulo", "through", "between",
     "except", "without", "isn't", "one", "two", "three", "four", "five", "six", "seven",
     "eight", "nine", "ten", "eleven", "twelve", "twenty", "thirty", "forty",
     "fifty", "square", "cubic", "degree", "degrees")
)  # fmt: skip
_REFUSING: Final = frozenset(
    ("not", "wrong", "incorrect", "false", "instead", "but", "or", "isn't")
)
_UNREMARKED: Final = frozenset(("mod", "base", "sin", "cos", "tan", "log", "sqrt", "pmod"))


def stated(text: str) -> str:
    """Return the answer that a sentence begins with, with its unit; the text if it is unclear."""
    text = _unwrapped(text.strip())
    if _PLAIN.fullmatch(text) or len(text) > MAX_CHARACTERS:
        return text
    if (leading := _LEADING.match(text)) and leading.end() < len(text):
        text = text[leading.end() :]
    amount = _AMOUNT.match(text)
    if amount is None:
        return _equation(text)
    if (remark := _REMARK.fullmatch(text)) and remark.end(1) >= amount.end():
        if _is_remark(remark[2], amount[0]):
            text = remark[1]
    display = (amount["display"] or "").strip().rstrip(".,;")
    value = amount["inline"] or display or amount["bold"] or amount[0]
    tail = text[amount.end() :]
    if display and tail[:1].isalpha():
        tail = f" {tail}"
    unit = _unit_of(tail, bool(amount["currency"]))
    if unit is not None:
        return value.strip() if value.rstrip("$ ").endswith("%") else f"{value.strip()}{unit}"
    return f"{value.strip()}{tail}" if amount["bold"] else _equation(text)


def _equation(text: str) -> str:
    """Return `44 + 20 = 64 beads in total` and `n = 64 beads in total` without what follows."""
    head, sign, last = text.rpartition("=")
    answer = last.lstrip()
    if not sign or not _AMOUNT.match(answer):
        return text
    return f"{head}{sign}{last[: len(last) - len(answer)]}{stated(answer)}"


def _unwrapped(text: str) -> str:
    """Remove quotes, stars and symbols that do not belong to the answer."""
    if not text.isascii():
        while text and unicodedata.category(text[-1]) in ("So", "Cf", "Mn"):
            text = text[:-1].rstrip()
    if text.count("**") % 2:
        text = text.removesuffix("**") if text.endswith("**") else text.replace("**", "", 1)
    if len(text) > 2 and text[0] == text[-1] and text[0] in '"*_':
        text = text.strip(text[0])
    if text.endswith(")") and text.count(")") > text.count("(") and not re.search(r"[\[\]]", text):
        text = text[:-1]
    return text.strip().removesuffix(".").removesuffix("?").strip()


def _is_remark(inside: str, amount: str) -> bool:
    """Return whether brackets behind an amount explain it, rather than multiply it."""
    words = {word.lower() for word in _WORD.findall(inside)}
    if any(len(word) > 2 for word in words) and not words & (_UNREMARKED | _REFUSING):
        return True
    number = re.sub(r"[^0-9.-]", "", amount)
    found = equations(f"{inside} = {number}")
    return bool(found) and all(map(holds, found))


def _unit_of(tail: str, currency: bool) -> str | None:
    """Return the unit at the start of what follows an amount, None if the answer goes on there."""
    if not tail.strip(" .!?"):
        return "" if tail.strip(" .") in ("", "?") else None
    if _EXCLAMATION.match(tail):
        return "" if not _words(tail) & _REFUSING else None
    if reason := _REASON.search(tail):
        unit = _unit_of(tail[: reason.start()], currency)
        return None if _words(tail[reason.start() :]) & _REFUSING else unit
    if not _PROSE.fullmatch(tail):
        return None
    cut = _CUT.search(tail)
    while cut and cut[0].strip().lower() == "per" and not currency:
        cut = _CUT.search(tail, cut.end())
    before = tail[: cut.start()] if cut else tail
    return _unit(before) if _is_unit(before) and _is_aside(tail[len(before) :]) else None


def _is_unit(text: str) -> bool:
    """Return whether text may be a unit: a few words, with a space before them unless known."""
    words = text.split()
    if text[:1].isalpha() and not is_known_unit(words[0]):
        return False
    return len(words) <= 5 and all(is_word(word) or is_known_unit(word) for word in words)


def _unit(text: str) -> str:
    """Return a unit without what describes it, such as red in red beads."""
    words = text.split()
    while words and len(words[0]) <= 3 and not is_known_unit(words[0]):
        words = words[1:]
    return f"{text[: len(text) - len(text.lstrip())]}{' '.join(words)}".rstrip()


def _is_aside(text: str) -> bool:
    """Return whether text after an amount and its unit leaves the answer as it is."""
    text = _ARTICLE.sub(" ", text)
    words = _words(text)
    if words & _CHANGING or any(len(word) == 1 for word in words):
        return False
    return text[:1] == "," or not words & {"and", "is", "are", "was", "were"}


def _words(text: str) -> set[str]:
    return {word.lower() for word in _WORD.findall(text)}
