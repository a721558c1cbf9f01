r"""Split an answer, LaTeX or plain text, into tokens: one pattern, one pass, bounded in length.

Words are distinguished from products of letters here, because later layers do not see the spelling:
`sin`, `pi` and `and` are words, `xy` is x times y, two or more capitals are one name (a segment, a
matrix, an arrangement of letters), and `5cm` has a unit.
"""

import re
from dataclasses import dataclass
from typing import Final

from restem.answers.notation import join_thousands, strip_delimiters, unicode_to_latex
from restem.answers.tree import UnreadableError
from restem.answers.units import is_known_unit

MAX_TOKENS: Final = 1500

FUNCTIONS: Final = frozenset(
    ("sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh",
     "asin", "acos", "atan", "ln", "log", "exp", "lg", "cis")
)  # fmt: skip
_WORDS: Final = {
    **{name: ("function", name) for name in FUNCTIONS},
    "sqrt": ("command", "sqrt"), "pi": ("symbol", "pi"), "infinity": ("symbol", "infinity"),
    "inf": ("symbol", "infinity"), "infty": ("symbol", "infinity"), "theta": ("symbol", "theta"),
    "and": ("separator", "and"), "to": ("ratio", ":"), "or": ("separator", "or"),
    "degrees": ("degree", ""),
    "degree": ("degree", ""), "percent": ("percent", ""), "pct": ("percent", ""),
    "percentage": ("percent", ""), "in": ("relation", "in"),
    "union": ("cup", ""), "choose": ("command", "choose"), "cup": ("cup", ""),
    "approximately": ("skip", ""), "about": ("skip", ""), "mod": ("modulo", "mod"),
    "million": ("multiple", "6"), "billion": ("multiple", "9"), "thousand": ("multiple", "3"),
    "trillion": ("multiple", "12"), "hundred": ("multiple", "2"), "abs": ("command", "abs"),
}  # fmt: skip
_COMMANDS: Final = {
    **dict.fromkeys((
        "left", "right", "big", "Big", "bigg", "Bigg", "bigl", "bigr", "Bigl", "Bigr", "bigcirc",
        "displaystyle", "textstyle", "limits", "quad", "qquad", ",", ";", ":", "!", " ", "\n",
        "angle", "measuredangle", "mathstrut", "hfill", "bf", "rm", "it", "middle", ">", "mathrm",
        "text", "mbox", "hbox", "textbf", "mathbf", "boldsymbol", "bold", "mathit", "textit",
        "textrm", "textnormal", "operatorname", "boxed", "fbox", "mathsf", "ensuremath",
        "mathnormal", "therefore", "small", "large", "nolimits", "protect", "relax",
    ), ("skip", "")),
    **{name: ("function", name) for name in FUNCTIONS},
    **dict.fromkeys(("frac", "dfrac", "tfrac", "cfrac"), ("command", "frac")),
    **{name: ("command", name) for name in (
        "sqrt", "binom", "overline", "floor", "ceil", "vec", "hat", "bar", "tilde", "underline",
        "phantom", "hphantom", "vphantom", "choose", "over",
    )},
    **dict.fromkeys(("dbinom", "tbinom"), ("command", "binom")),
    "overrightarrow": ("command", "vec"), "widehat": ("command", "hat"),
    **dict.fromkeys(("cdot", "times", "ast", "cdotp"), ("operator", "*")),
    "div": ("operator", "/"), "pm": ("operator", "pm"), "mp": ("operator", "mp"),
    **dict.fromkeys(("le", "leq", "leqslant", "leqq"), ("relation", "<=")),
    **dict.fromkeys(("ge", "geq", "geqslant", "geqq"), ("relation", ">=")),
    **dict.fromkeys(("ne", "neq"), ("relation", "!=")),
    "lt": ("relation", "<"), "gt": ("relation", ">"), "in": ("relation", "in"),
    **dict.fromkeys(("approx", "sim", "simeq", "approxeq"), ("relation", "~")),
    "equiv": ("relation", "="), "cup": ("cup", ""), "bigcup": ("cup", ""), "cap": ("cap", ""),
    **dict.fromkeys(("setminus", "backslash"), ("setminus", "")),
    **dict.fromkeys(("infty", "infin"), ("symbol", "infinity")),
    **dict.fromkeys(("emptyset", "varnothing"), ("set", "empty")),
    **dict.fromkeys(("mid", "vert", "lvert", "rvert", "|"), ("bar", "|")),
    **dict.fromkeys(("Vert", "lVert", "rVert"), ("bar", "||")),
    **dict.fromkeys(("lbrace", "{"), ("open", "set")),
    **dict.fromkeys(("rbrace", "}"), ("close", "set")),
    **dict.fromkeys(("lbrack",), ("open", "[")), "rbrack": ("close", "]"),
    "langle": ("open", "<"), "rangle": ("close", "<"), "lfloor": ("open", "floor"),
    "rfloor": ("close", "floor"), "lceil": ("open", "ceil"), "rceil": ("close", "ceil"),
    **dict.fromkeys(("circ", "degree", "degrees"), ("degree", "")), "%": ("percent", ""),
    "$": ("money", "$"), "prime": ("prime", ""), "\\": ("row", ""), "cr": ("row", ""),
    **dict.fromkeys(("ldots", "dots", "cdots", "dotsc"), ("dots", "")), "_": ("operator", "_"),
    "imath": ("symbol", "i"), "lor": ("separator", "or"), "vee": ("separator", "or"),
    "land": ("separator", "and"), "wedge": ("separator", "and"), "colon": ("ratio", ":"),
    "varepsilon": ("symbol", "epsilon"), "varphi": ("symbol", "phi"), "to": ("relation", "to"),
    "implies": ("relation", "to"), "Rightarrow": ("relation", "to"),
    **dict.fromkeys(("pmod", "bmod", "mod", "pod"), ("modulo", "mod")),
}  # fmt: skip
_CHARACTERS: Final = {
    "+": ("operator", "+"), "-": ("operator", "-"), "*": ("operator", "*"), "/": ("operator", "/"),
    "^": ("operator", "^"), "_": ("operator", "_"), "!": ("factorial", ""), "=": ("relation", "="),
    "<": ("relation", "<"), ">": ("relation", ">"), "(": ("open", "("), ")": ("close", "("),
    "[": ("open", "["), "]": ("close", "["), "{": ("open", "{"), "}": ("close", "{"),
    ",": ("separator", ","), ";": ("separator", ";"), ":": ("ratio", ":"), "|": ("bar", "|"),
    "%": ("percent", ""), "$": ("money", "$"), "&": ("cell", ""), "'": ("prime", ""),
    "~": ("skip", ""), ".": ("point", ""), "¢": ("text", "cents"), "€": ("money", "€"),
    "£": ("money", "£"),
}  # fmt: skip

_TOKEN = re.compile(
    r"""\\begin\s*\{(?P<begin>[a-zA-Z*]+)\}(?:\s*\{[^{}]*\})?
    |\\end\s*\{(?P<end>[a-zA-Z*]+)\}
    |\\math(?:bb|cal|frak)\s*\{?\s*(?P<set>[A-Za-z])\s*\}?
    |\\(?:text|mbox|hbox|textrm|textbf|textit|textnormal|mathrm|operatorname\*?|rm)\s*
        \{(?P<text>[^{}]*)\}
    |\\math(?:bf|it)\s*\{(?P<bold>[A-Za-z])\}
    |(?P<scientific>[0-9]+(?:\.[0-9]+)?[eE][+-]?[0-9]{1,4}(?![0-9A-Za-z.]))
    |(?P<number>[0-9]+(?:\.[0-9]+)?|\.[0-9]+)
    |\\(?P<command>[A-Za-z]+|.)
    |(?P<letters>[A-Za-z]+)
    |(?P<space>\s+)
    |<=|>=|!=|\*\*|(?P<character>.)""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_PLAIN: Final = {"<=": ("relation", "<="), ">=": ("relation", ">="), "!=": ("relation", "!="),
                 "**": ("operator", "^")}  # fmt: skip
_LETTERED = re.compile(r"\s*\(?\s*[A-Za-z0-9]\s*\)?\s*|[\s0-9.,]*[0-9][\s0-9.]*|[0-9A-Z]{2,12}")
_LETTERS = re.compile(r"\s*\(?[A-Z]\)?(?:\s*(?:,|and|or)\s*\(?[A-Z]\)?)+\s*")
_CHOICE = re.compile(r"(?:choice|option|answer)\s*:?\s*\(?([A-Z])\)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Token:
    """One token; spaced: whether white space precedes it."""

    kind: str
    value: str
    spaced: bool = False


def tokenize(answer: str) -> list[Token]:
    """Return the tokens of an answer. Raises UnreadableError when there are too many."""
    text = join_thousands(strip_delimiters(unicode_to_latex(answer).strip()))
    tokens: list[Token] = []
    spaced = False
    for match in _TOKEN.finditer(text):
        if match.lastgroup == "space":
            spaced = True
            continue
        for kind, value in _read(match):
            if kind == "skip":
                continue
            tokens.append(Token(kind, value, spaced))
            spaced = False
        if len(tokens) > MAX_TOKENS:
            raise UnreadableError("too many tokens")
    return tokens


def _read(match: re.Match[str]) -> list[tuple[str, str]]:
    group, value = match.lastgroup, match[0]
    if group in ("number", "scientific"):
        return [(group, value)]
    if group == "letters":
        return _letters(value)
    if group == "command":
        # An unknown command is a symbol: \alpha, \triangle, \spadesuit.
        return [_COMMANDS.get(match["command"], ("symbol", match["command"]))]
    if group == "character":
        token = _CHARACTERS.get(value)
        return [token or ("symbol" if value.isalpha() else "unknown", value)]
    if group == "text":
        return _text(match["text"])
    if group == "bold":
        return [("symbol", f"bold {match['bold']}")]
    if group in ("begin", "end"):
        return [(group, match[group].rstrip("*"))]
    if group == "set":
        return [("set", match["set"])]
    return [_PLAIN[value]]


def _letters(run: str) -> list[tuple[str, str]]:
    """Read a run of letters: a word, a unit, a name in capitals, or single letters."""
    if run in _WORDS:
        return [_WORDS[run]]
    if len(run) > 2 and run.lower() in _WORDS:
        return [_WORDS[run.lower()]]
    if run == "per" or is_known_unit(run):
        return [("unit", run)]
    if len(run) > 1 and run.isupper():
        return [("symbol", run)]
    if len(run) > 3 and run.lower() not in ("abcd", "wxyz"):
        return [("text", run)]
    return [("symbol", letter) for letter in run]


def _text(content: str) -> list[tuple[str, str]]:
    """Read the content of a text command: mathematics if it is short, else words."""
    words = content.strip()
    lowered = words.strip(" ,").lower()
    if choice := _CHOICE.fullmatch(words):
        return [("symbol", choice[1].upper())]
    if lowered in _WORDS:
        return [_WORDS[lowered]]
    if lowered in ("", ","):
        return [("separator", ",")] if "," in words else [("space", "")]
    if _LETTERED.fullmatch(content) or _LETTERS.fullmatch(content):
        matches = (match for match in _TOKEN.finditer(words) if match.lastgroup != "space")
        return [token for match in matches for token in _read(match)]
    return [("text", words)]
