r"""Unify notation for all layers: Unicode signs, math delimiters, separators of thousands."""

import re
import unicodedata
from typing import Final

_THOUSANDS = re.compile(r"(?<![0-9.,])[1-9][0-9]{0,2}(?:,[0-9]{3})+(?![0-9,])", re.ASCII)
_SPACED_THOUSANDS = re.compile(r"(?<![0-9.,])[1-9][0-9]{0,2}(?: [0-9]{3})+(?![0-9/])", re.ASCII)
_FORCED = re.compile(r",\s*\\!\s*(?=[0-9]{3})")
_BRACED_COMMA = re.compile(r"\s?\{\s?,\s?\}")
_THIN = re.compile(r"(?<!\\)\\[, ]")  # but not the end of a row with a space behind it

_MAX_WRAPPINGS: Final = 4
_DELIMITERS: Final = (("\\(", "\\)"), ("\\[", "\\]"), ("**", "**"), ("`", "`"))
_BARE_DOLLAR = re.compile(r"(?<!\\)\$")
_BOX_OPENED = re.compile(r"\\f?box(?:ed)?\s*\{")
_UNICODE: Final = str.maketrans(
    {
        "−": "-", "–": "-", "×": "\\times ", "·": "\\cdot ", "÷": "/", "π": "\\pi ",
        "∞": "\\infty ", "√": "\\sqrt ", "°": "^\\circ ", "º": "^\\circ ",
        "˚": "^\\circ ", "℃": "^\\circ C", "℉": "^\\circ F",
        "≤": "\\le ", "≥": "\\ge ", "≠": "\\ne ",
        "∪": "\\cup ", "±": "\\pm ", "∈": "\\in ", "½": "\\frac12 ",
        "¼": "\\frac14 ", "¾": "\\frac34 ", "θ": "\\theta ",
        "∓": "\\mp ", "≈": "\\approx ", "⋅": "\\cdot ", "∙": "\\cdot ", "′": "'", "…": "\\ldots ",
        "∅": "\\emptyset ", "ℝ": "\\mathbb{R}", "∩": "\\cap ", "∖": "\\setminus ", "∛": "\\sqrt[3]",
        "⟨": "\\langle ", "⟩": "\\rangle ", "∠": "\\angle ", "△": "\\triangle ", "⁄": "/", "‑": "-",
        "⅓": "\\frac13 ", "⅔": "\\frac23 ", "∨": "\\text{ or }", "∧": "\\text{ and }",
        "α": "\\alpha ", "β": "\\beta ", "γ": "\\gamma ", "δ": "\\delta ", "φ": "\\phi ",
        "λ": "\\lambda ", "μ": "\\mu ", "ω": "\\omega ", "σ": "\\sigma ", "Δ": "\\Delta ",
        **dict.fromkeys(("\u00a0", "\u2009", "\u202f", "\u200b", "\u2062"), " "),
    }
)  # fmt: skip
_RAISED: Final = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻ⁿ", "0123456789-n")
_LOWERED: Final = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_RAISED_RUN = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻ⁿ]+")
_LOWERED_RUN = re.compile("[₀₁₂₃₄₅₆₇₈₉]+")


def unicode_to_latex(text: str) -> str:
    """Replace Unicode's mathematical signs by LaTeX."""
    if text.isascii():
        return text
    text = _RAISED_RUN.sub(lambda run: f"^{{{run[0].translate(_RAISED)}}}", text)
    text = _LOWERED_RUN.sub(lambda run: f"_{{{run[0].translate(_LOWERED)}}}", text)
    text = text.translate(_UNICODE)
    # Full-width and other forms of digits, letters and signs.
    return text if text.isascii() else _plain_digits(unicodedata.normalize("NFKC", text))


def _plain_digits(text: str) -> str:
    if text.isascii():
        return text
    return "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in text)


def strip_delimiters(text: str) -> str:
    r"""Remove `$..$`, `\(..\)`, `\[..\]`, `**..**` and `\boxed{..}`; a single $ is money."""
    for _ in range(_MAX_WRAPPINGS):
        bare = _unboxed(_undelimited(text.strip()).strip())
        if bare == text:
            break
        text = bare
    return text


def _undelimited(text: str) -> str:
    for opening, closing in _DELIMITERS:
        long_enough = len(text) > len(opening) + len(closing)
        if text.startswith(opening) and text.endswith(closing) and long_enough:
            return text[len(opening) : -len(closing)]
    signs = text.count("$") - text.count("\\$")
    return _BARE_DOLLAR.sub("", text) if signs and signs % 2 == 0 else text


def _unboxed(text: str) -> str:
    """Return the content of a box around the whole text."""
    if "box" not in text[:6]:
        return text
    opened = _BOX_OPENED.match(text)
    if opened is None or not text.endswith("}"):
        return text
    depth = 1
    for position in range(opened.end(), len(text)):
        escaped = text[position - 1] == "\\"
        depth += (text[position] == "{" and not escaped) - (text[position] == "}" and not escaped)
        if depth == 0:
            return text[opened.end() : -1] if position == len(text) - 1 else text
    return text


def join_thousands(text: str) -> str:
    r"""Remove separators of thousands: 1,234, 1{,}234, `1 234`; in brackets 1,234 is a pair."""
    text = _THIN.sub(" ", _BRACED_COMMA.sub(",", _FORCED.sub("", text)))
    for pattern, separator in ((_THOUSANDS, ","), (_SPACED_THOUSANDS, " ")):
        if separator in text:
            text = _join(text, pattern, separator)
    return text


def _join(text: str, pattern: re.Pattern[str], separator: str) -> str:
    def joined(number: re.Match[str]) -> str:
        before = text[: number.start()]
        opened = before.count("(") + before.count("[") + before.count("\\{")
        closed = before.count(")") + before.count("]") + before.count("\\}")
        return number[0] if opened > closed else number[0].replace(separator, "")

    return pattern.sub(joined, text)
