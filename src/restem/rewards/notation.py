r"""Notation that means the same to every layer: Unicode signs, math delimiters, thousands."""

import re
from typing import Final

_THOUSANDS = re.compile(r"(?<![0-9.,])[1-9][0-9]{0,2}(?:,[0-9]{3})+(?![0-9,])", re.ASCII)
_SPACED_THOUSANDS = re.compile(r"(?<![0-9.,])[1-9][0-9]{0,2}(?: [0-9]{3})+(?![0-9/])", re.ASCII)
_FORCED = re.compile(r",\s*\\!\s*(?=[0-9]{3})")
_THIN = re.compile(r"(?<!\\)\\[, ]")  # not the end of a row and a blank

UNICODE: Final = str.maketrans(
    {
        "−": "-", "–": "-", "×": "\\times ", "·": "\\cdot ", "÷": "/", "π": "\\pi ",
        "∞": "\\infty ", "√": "\\sqrt ", "°": "^\\circ ", "≤": "\\le ", "≥": "\\ge ", "≠": "\\ne ",
        "∪": "\\cup ", "±": "\\pm ", "∈": "\\in ", "²": "^2", "³": "^3", "½": "\\frac12 ",
        "¼": "\\frac14 ", "¾": "\\frac34 ", "θ": "\\theta ",
        **dict.fromkeys(("\u00a0", "\u2009", "\u202f"), " "),
    }
)  # fmt: skip


def unwrap(text: str) -> str:
    r"""Remove `$..$`, `\(..\)` and `\[..\]`; a single dollar sign is money."""
    for opening, closing in (("\\(", "\\)"), ("\\[", "\\]")):
        if text.startswith(opening) and text.endswith(closing):
            text = text[2:-2].strip()
    signs = text.count("$") - text.count("\\$")
    if signs and signs % 2 == 0:
        text = re.sub(r"(?<!\\)\$", "", text)
    return text.strip()


def join_thousands(text: str) -> str:
    r"""Remove what separates thousands: 1,234, 1{,}234, `1 234`; in brackets 1,234 is a pair."""
    text = _THIN.sub(" ", _FORCED.sub("", text).replace("{,}", ","))
    for pattern, separator in ((_THOUSANDS, ","), (_SPACED_THOUSANDS, " ")):
        if separator in text:
            text = _join(text, pattern, separator)
    return text


def _join(text: str, pattern: re.Pattern[str], separator: str) -> str:
    def joined(found: re.Match[str]) -> str:
        before = text[: found.start()]
        opened = before.count("(") + before.count("[") + before.count("\\{")
        closed = before.count(")") + before.count("]") + before.count("\\}")
        return found[0] if opened > closed else found[0].replace(separator, "")

    return pattern.sub(joined, text)
