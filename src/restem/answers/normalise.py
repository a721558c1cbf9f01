r"""Bring an answer into one form, so that equal answers are mostly equal strings.

The rules follow the equivalence of MATH (Hendrycks et al. 2021, `math_equivalence`) and Minerva's
normalisation (Lewkowycz et al. 2022, appendix D.1), with what those lose put back: a percent sign
keeps its meaning, and units and labels are set aside to be compared instead of thrown away.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from restem.answers.notation import join_thousands, plain, unwrap
from restem.answers.units import canonical_unit, split_unit

_INTEGER = re.compile(r"-?[0-9]+", re.ASCII)
_TOKEN = re.compile(r"\\sqrt\s*\[[^\[\]{}]*\]|\\[A-Za-z]+|\\.|\s+|.", re.DOTALL)
_TRAILING = re.compile(r"(?:\\[,;:! ]|[\s.,;:])+\Z")
_LABEL = re.compile(
    r"((?:\\?[A-Za-z]|\\[a-z]{2,8})(?:_\{[^{}]*\})?(?:\([A-Za-z]\))?)(?:=|\\in(?![a-z]))(.+)"
)
_SLASH = re.compile(r"(-?)([0-9]*(?:\\[a-z]+|[a-zA-Z])|[0-9]+)/([0-9]+|[a-zA-Z])", re.ASCII)
_CHOICE = re.compile(r"\(([A-Z])\)")

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
class Form:
    """A normalised answer: what it states, the unit behind it and the label before it."""

    body: str
    unit: str = ""
    label: str = ""


@lru_cache(maxsize=8192)
def normalise(answer: str) -> Form:
    """Return the normal form of an answer, as extracted from a completion or as a gold answer."""
    if _INTEGER.fullmatch(answer):
        return Form(answer)
    text = unwrap(plain(answer).strip())
    text, unit = split_unit(text if text.endswith("...") else _TRAILING.sub("", text))
    body = _canonical(join_thousands(text))
    label, body = _split_label(body)
    return Form(_finish(body), canonical_unit(unit), label)


class _Writer:
    """Write tokens one after the other, with the few spaces that mean something."""

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
    r"""Rewrite token by token: synonyms, braces around every argument, no white space.

    `\frac12`, `\frac{1}2` and `\dfrac 1 2` all become `\frac{1}{2}`; `x^2` becomes `x^{2}`.
    """
    writer = _Writer()
    wanted = 0  # arguments that the command before still waits for
    groups: list[tuple[int, str]] = []  # of each open group: what it leaves wanted, how it closes
    unwrap = False
    for token in _TOKEN.findall(text):
        token = _COMMANDS.get(token, token)
        if not token or token.isspace():
            writer.space = writer.space or bool(token)
        elif token in _TEXT:
            unwrap = True
        elif token == "{":
            groups.append((max(0, wanted - 1), "" if unwrap else "}"))
            writer.add("" if unwrap else "{")
            wanted, unwrap = 0, False
        elif token == "}":
            wanted, closing = groups.pop() if groups else (0, "}")
            writer.add(closing)
        elif wanted and not _arguments(token):
            writer.add(f"{{{token}}}")
            wanted -= 1
        else:
            writer.add(token)
            wanted, unwrap = _arguments(token), False
    return "".join(writer.pieces)


def _arguments(token: str) -> int:
    return 1 if token.startswith("\\sqrt") else _ARGUMENTS.get(token, 0)


def _split_label(body: str) -> tuple[str, str]:
    r"""Set `x=` or `x\in` aside; two equations are left alone."""
    found = _LABEL.fullmatch(body) if body.count("=") < 2 else None
    return (found[1], found[2]) if found else ("", body)


def _finish(body: str) -> str:
    """Apply the rules that look at the whole answer."""
    body = body.removeprefix("+")
    while body.startswith("{") and _closing(body) == len(body) - 1:
        body = body[1:-1]
    if found := _SLASH.fullmatch(body):
        return f"{found[1]}\\frac{{{found[2]}}}{{{found[3]}}}"
    if found := _CHOICE.fullmatch(body):
        return found[1]
    if "." in body:
        body = re.sub(r"(?<![0-9])\.(?=[0-9])", "0.", body)
    # Words are the same in any case, symbols are not: Yes is yes, AB is not ab.
    return body.lower() if len(body) > 2 and body.isalpha() else body


def _closing(body: str) -> int:
    """Return where the first brace of a body closes, -1 when it does not."""
    depth = 0
    for position, character in enumerate(body):
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return position
    return -1
