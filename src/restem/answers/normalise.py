r"""Normalise answers, so that equal answers are mostly equal strings or equal exact numbers.

The rules follow the equivalence of MATH (Hendrycks et al. 2021, `math_equivalence`) and Minerva's
normalisation (Lewkowycz et al. 2022, appendix D.1), but lose less: a percent sign keeps its
meaning, and units and labels are kept apart for comparison instead of being dropped.

Numbers are read by patterns alone: integers, decimals, a/b, \frac{a}{b}, mixed numbers and
percentages. `Fraction(text)` and `int(text)` only ever get text whose length a pattern has
bounded: both can take arbitrarily long on what a model writes.
"""

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Final

from restem.answers.notation import join_thousands, strip_delimiters, unicode_to_latex
from restem.answers.units import canonical_unit, split_unit

MAX_CHARACTERS: Final = 1000  # of a number

_INTEGER = re.compile(r"-?[0-9]+", re.ASCII)
_TOKEN = re.compile(r"\\sqrt\s*\[[^\[\]{}]*\]|\\[A-Za-z]+|\\.|\s+|.", re.DOTALL)
_TRAILING = re.compile(r"(?:\\[,;:! ]|[\s.,;:])+\Z")
_LABEL = re.compile(
    r"((?:\\?[A-Za-z]|\\[a-z]{2,8})(?:_\{[^{}]*\})?(?:\([A-Za-z]\))?)(?:=|\\in(?![a-z]))(.+)"
)
_SLASH = re.compile(r"(-?)([0-9]*(?:\\[a-z]+|[a-zA-Z])|[0-9]+)/([0-9]+|[a-zA-Z])", re.ASCII)
_CHOICE = re.compile(r"\(([A-Z])\)")
_DECIMAL = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
_NUMBER = re.compile(
    rf"""(?P<sign>[+-]?)
    (?:(?P<plain>{_DECIMAL})
      |(?P<top>{_DECIMAL})/(?P<bottom>{_DECIMAL})
      |(?P<whole>[0-9]+)?\\frac\{{(?P<top_sign>[+-]?)(?P<over>{_DECIMAL})\}}
        \{{(?P<bottom_sign>[+-]?)(?P<under>{_DECIMAL})\}}
      |(?P<units>[0-9]+)[ ](?P<part>[0-9]+)/(?P<parts>[0-9]+)
    )(?P<percent>%?)""",
    re.VERBOSE | re.ASCII,
)

_COMMANDS: Final = {
    **dict.fromkeys(
        ("\\left", "\\right", "\\big", "\\Big", "\\bigl", "\\bigr", "\\displaystyle", "\\!"), ""
    ),
    **dict.fromkeys(("\\,", "\\;", "\\:", "\\ ", "\\quad", "\\qquad", "~"), " "),
    **dict.fromkeys(("\\dfrac", "\\tfrac", "\\cfrac"), "\\frac"),
    **dict.fromkeys(("\\times", "*"), "\\cdot"),
    **dict.fromkeys(("\\leq", "\\leqslant"), "\\le"),
    **dict.fromkeys(("\\geq", "\\geqslant"), "\\ge"),
    "\\neq": "\\ne",
    "\\lbrace": "\\{",
    "\\rbrace": "\\}",
    "\\%": "%",
}
_TEXT: Final = frozenset(
    ("\\text", "\\textbf", "\\textit", "\\textrm", "\\textnormal", "\\mbox", "\\hbox", "\\mathrm",
     "\\mathbf", "\\mathit", "\\operatorname", "\\boxed", "\\fbox", "\\bf", "\\rm")
)  # fmt: skip
_ARGUMENTS: Final = {"\\frac": 2, "^": 1, "_": 1}


@dataclass(frozen=True)
class NormalForm:
    """A normalised answer: its body, the unit after it and the label before it."""

    body: str
    unit: str = ""
    label: str = ""


@lru_cache(maxsize=8192)
def normalise(answer: str) -> NormalForm:
    """Return the normal form of a gold answer, or of one extracted from a completion."""
    if _INTEGER.fullmatch(answer):
        return NormalForm(answer)
    text = strip_delimiters(unicode_to_latex(answer).strip())
    text, unit = split_unit(text if text.endswith("...") else _TRAILING.sub("", text))
    body = _canonical(join_thousands(text))
    if body.startswith("{") and "=" in body and "," not in body:
        body = _unbraced(body)
    label, body = _split_label(body)
    return NormalForm(_finish(body), canonical_unit(unit), label)


def canonical_answer(extracted: str | None) -> str | None:
    """Return one text for equal answers, so that votes can be counted without a gold answer.

    The text is an exact fraction, else the normal form. Answers that are equal but differ in both,
    such as sqrt(8) and 2 sqrt(2), count as two.
    """
    if extracted is None:
        return None
    form = normalise(extracted)
    exact = parse_rational(form.body)
    return f"{form.body if exact is None else exact} {form.unit}".rstrip()


@lru_cache(maxsize=8192)
def parse_rational(text: str) -> Fraction | None:
    """Return the number that a normalised answer states exactly, None for anything else."""
    match = _NUMBER.fullmatch(text) if len(text) <= MAX_CHARACTERS else None
    size = _magnitude(match) if match else None
    if match is None or size is None:
        return None
    value = -size if match["sign"] == "-" else size
    return value / 100 if match["percent"] else value


def _magnitude(match: re.Match[str]) -> Fraction | None:
    if match["plain"]:
        return Fraction(match["plain"])
    if match["top"]:
        return _ratio(match["top"], match["bottom"])
    if match["units"]:
        return _mixed(match["units"], _ratio(match["part"], match["parts"]))
    part = _ratio(match["over"], match["under"])
    if match["whole"]:
        signed = match["top_sign"] or match["bottom_sign"]
        return None if signed else _mixed(match["whole"], part)
    opposite = (match["top_sign"] == "-") != (match["bottom_sign"] == "-")
    return -part if opposite and part is not None else part


def _ratio(top: str, bottom: str) -> Fraction | None:
    divisor = Fraction(bottom)
    return Fraction(top) / divisor if divisor else None


def _mixed(whole: str, part: Fraction | None) -> Fraction | None:
    """Add a whole number and a proper fraction; 3 5/2 is not a mixed number."""
    return int(whole) + part if part is not None and part < 1 else None


class _Writer:
    """Join tokens, keeping only the spaces that matter."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.space = False

    def add(self, token: str) -> None:
        if self.pieces and token:
            last = self.pieces[-1]
            between_digits = self.space and last[-1].isdigit() and token[0].isdigit()
            after_command = last[0] == "\\" and last[-1].isalpha() and token[0].isalpha()
            if between_digits or after_command:
                self.pieces.append(" ")
        self.space = False
        if token:
            self.pieces.append(token)


def _canonical(text: str) -> str:
    r"""Rewrite each token: one of its synonyms, braces around every argument, no white space.

    `\frac12`, `\frac{1}2` and `\dfrac 1 2` all become `\frac{1}{2}`; `x^2` becomes `x^{2}`.
    """
    writer = _Writer()
    missing = 0  # arguments that the last command still takes
    groups: list[tuple[int, str]] = []  # for each open group: `missing` after it, its closing brace
    unwrap = False
    for token in _TOKEN.findall(text):
        token = _COMMANDS.get(token, token)
        if not token or token.isspace():
            writer.space = writer.space or bool(token)
        elif token in _TEXT:
            unwrap = True
        elif token == "{":
            groups.append((max(0, missing - 1), "" if unwrap else "}"))
            writer.add("" if unwrap else "{")
            missing, unwrap = 0, False
        elif token == "}":
            missing, closing = groups.pop() if groups else (0, "}")
            writer.add(closing)
        elif missing and not _arguments(token):
            writer.add(f"{{{token}}}")
            missing -= 1
        else:
            writer.add(token)
            missing, unwrap = _arguments(token), False
    return "".join(writer.pieces)


def _arguments(token: str) -> int:
    return 1 if token.startswith("\\sqrt") else _ARGUMENTS.get(token, 0)


def _split_label(body: str) -> tuple[str, str]:
    r"""Split off `x=` or `x\in`; two equations stay as they are."""
    match = _LABEL.fullmatch(body) if body.count("=") < 2 else None
    return (match[1], match[2]) if match else ("", body)


def _finish(body: str) -> str:
    """Apply the rules for the answer as a whole."""
    body = body.removeprefix("+")
    body = _unbraced(body)
    if fraction := _SLASH.fullmatch(body):
        return f"{fraction[1]}\\frac{{{fraction[2]}}}{{{fraction[3]}}}"
    if choice := _CHOICE.fullmatch(body):
        return choice[1]
    if "." in body:
        body = re.sub(r"(?<![0-9])\.(?=[0-9])", "0.", body)
    # Case does not matter in words, but it does in symbols: Yes is yes, AB is not ab.
    return body.lower() if len(body) > 2 and body.isalpha() else body


def _unbraced(body: str) -> str:
    """Remove braces around the whole."""
    while body.startswith("{") and _closing(body) == len(body) - 1:
        body = body[1:-1]
    return body


def _closing(body: str) -> int:
    """Return the position at which the first brace of a body closes, -1 if it does not."""
    depth = 0
    for position, character in enumerate(body):
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return position
    return -1
