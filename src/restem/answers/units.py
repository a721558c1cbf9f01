r"""Separate a number from its unit: `5\text{ cm}^2`, `90^\circ`, `\$5`, `18 dollars`.

An answer may omit its unit, but two different units never match: graders that drop units accept
5 cm for 5 m. A percent sign also stays in the answer, because it changes the number.
"""

import re
from functools import lru_cache
from typing import Final

_TEXT_UNIT = re.compile(
    r"\\(?:text|textrm|textnormal|textbf|mbox|hbox|mathrm|rm)\s*\{([A-Za-z.,/^0-9 \\]*)\}"
    r"\s*(\^\s*\{?[0-9]\}?)?\Z"
)
_SPACE = re.compile(r"(?:\\[,;:! ]|[\s~])+\Z")
_TRIGONOMETRY = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)")
_DEGREES = re.compile(r"\^\s*(?:\{\s*\\circ\s*\}|\\circ)\s*\Z|\\degrees?\s*\Z")
_MONEY = re.compile(r"([-+]?)\s*\\?\$\s*(?=[-0-9.\\])")
_WORDS = re.compile(r"(?<=[0-9}.)])\s*([A-Za-z][A-Za-z ]*)(\^\s*\{?[0-9]\}?)?\Z")
# Bare quotients that are no algebra, because a space separates them from their number.
_QUOTIENT = re.compile(
    r"(?<=[0-9}])\s+((?:k|c|m)?m/(?:s|h|min)|(?:ft|mi|in)/(?:s|h|hr|min)|k?g/(?:c|d)?m)"
    r"(\^\s*\{?[0-9]\}?)?\Z"
)
_NOT_UNITS: Final = frozenset(
    ("and", "or", "to", "if", "is", "than", "then", "more", "less", "base", "in", "mod", "not",
     "none", "all", "for", "million", "billion", "trillion", "thousand", "hundred", "dozen")
)  # fmt: skip
# Words that make a sentence of the words after a number: these are no unit.
_STATING: Final = frozenset(
    ("or", "if", "is", "are", "was", "were", "isn", "not", "no", "nor", "but", "wrong", "incorrect",
     "false", "instead", "actually", "than", "then", "unless", "when", "where", "squared",
     "cubed", "times", "plus", "minus", "half", "factorial", "base", "mod", "except", "because",
     "equal", "equals", "none", "dozen")
)  # fmt: skip
_WORDS_OF_TWO: Final = frozenset(
    ("no", "on", "so", "is", "it", "of", "or", "to", "by", "my", "go", "up", "we", "us", "he", "me",
     "do", "if", "in", "be", "oh", "ok", "hi", "th", "st", "nd", "rd", "pm")
)  # fmt: skip
_UNITS_AMONG_WORDS: Final = frozenset(("c", "f", "per", "am"))
_PRODUCTS: Final = frozenset(("mn", "pq", "rs", "uv", "nk", "kn", "ij", "pqr"))
_WORDS_OF_A: Final = frozenset(("bad", "dab", "add", "dad", "cab", "day", "bay", "any", "abs"))

_SYNONYMS: Final = {
    "usd": "dollar",
    "feet": "foot", "ft": "foot", "inches": "inch", "in": "inch", "yd": "yard", "mi": "mile",
    "mm": "millimeter", "cm": "centimeter", "m": "meter", "km": "kilometer", "metre": "meter",
    "centimetre": "centimeter", "kilometre": "kilometer", "millimetre": "millimeter",
    "g": "gram", "gm": "gram", "kg": "kilogram", "lb": "pound", "lbs": "pound", "oz": "ounce",
    "s": "second", "sec": "second", "min": "minute", "hr": "hour", "h": "hour",
    "deg": "degree", "mph": "mile/hour", "l": "liter", "ml": "milliliter", "litre": "liter",
    "hz": "hertz", "n": "newton", "j": "joule", "w": "watt", "kw": "kilowatt", "v": "volt",
    "kj": "kilojoule", "pa": "pascal", "ev": "electronvolt", "mol": "mole", "mg": "milligram",
    "ms": "millisecond", "khz": "kilohertz", "mhz": "megahertz", "db": "decibel", "rad": "radian",
    "hrs": "hour", "yr": "year", "yrs": "year", "pt": "pint", "pts": "point", "qt": "quart",
    "gal": "gallon", "tsp": "teaspoon", "tbsp": "tablespoon", "kwh": "kilowatthour",
    "nm": "nanometer", "gb": "gigabyte", "mb": "megabyte",
    "pct": "percent", "percentage": "percent", "sq": "square", "cu": "cubic",
}  # fmt: skip
_SHORT: Final = frozenset(("gm", "mm", "cm", "km", "kg", "ft", "yd", "lb", "hr", "sq", "cu"))
_OTHERS: Final = (
    "day", "week", "month", "year", "people", "student", "apple", "way", "unit", "gallon", "quart",
    "pint", "cup", "liter", "time", "point", "page", "percent", "book", "marble", "dollar",
    "degree", "square", "cubic", "cent", "celsius", "fahrenheit", "bead", "person", "child",
)  # fmt: skip
_KNOWN: Final = frozenset((*_SYNONYMS, *_SYNONYMS.values(), *_OTHERS))


def split_unit(text: str) -> tuple[str, str]:
    """Split an answer into its value and the unit after (or the currency before) it."""
    degrees = None if _TRIGONOMETRY.search(text) else _DEGREES.search(text)
    if degrees:
        return _SPACE.sub("", text[: degrees.start()]), "degree"
    if text.endswith("%"):
        return text, "percent"
    if money := _MONEY.match(text):
        return money[1] + text[money.end() :], "dollar"
    unit = _TEXT_UNIT.search(text)
    if unit is None and (words := _WORDS.search(text)) and is_known_unit(words[1]):
        unit = words
    if unit is None and "/" in text:
        unit = _QUOTIENT.search(text)
    amount = _SPACE.sub("", text[: unit.start()]) if unit else ""
    if unit is None or not _is_amount(amount) or not _is_unit(unit[1]):
        return text, ""
    if canonical_unit(unit[1]) == "percent":
        return f"{amount}%", "percent"
    return amount, unit[1] + (unit[2] or "")


def canonical_unit(unit: str) -> str:
    """Return one name for each unit: `sq. cm`, `square centimeters` and `cm^2` are the same."""
    words = re.findall(r"[a-z]+|[0-9]|/", unit.lower().replace(".", ""))
    names = [_singular(word) for word in words]
    for word, power in (("square", "2"), ("cubic", "3")):
        if word in names:
            names.remove(word)
            names.append(power)
    return " ".join(" ".join(names).replace(" per ", " / ").split()).replace(" / ", "/")


def _singular(word: str) -> str:
    word = _SYNONYMS.get(word, word)
    stem = word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
    return _SYNONYMS.get(stem, stem)


@lru_cache(maxsize=4096)
def is_known_unit(words: str) -> bool:
    """Return whether bare words are units; 2s and 5m are products, 5cm is not."""
    names = words.lower().split()
    return names != ["per"] and all(
        name == "per" or (_singular(name) in _KNOWN and (len(name) > 2 or name in _SHORT))
        for name in names
    )


def is_word(run: str) -> bool:
    """Return whether a run of letters is a word, such as cat and no, rather than a product."""
    word = run.lower()
    if len(word) < 3:
        return word in _WORDS_OF_TWO
    if len(word) > 3 or word in _WORDS_OF_A:
        return True
    return bool(set(word) & set("eiou")) or ("a" in word and not set(word) <= set("abcdxyz"))


def may_be_unit(text: str) -> bool:
    """Return whether words after a number may be its unit: no sentence, and no variables."""
    words = re.findall(r"[a-z'’]+", text.lower().replace(".", ""))
    return not _STATING.intersection(words) and not any(map(_is_product, words))


def _is_product(word: str) -> bool:
    """Return whether letters are variables rather than a unit or its abbreviation."""
    if is_word(word) or _singular(word) in _KNOWN or word in _UNITS_AMONG_WORDS:
        return False
    return len(word) == 1 or word in _PRODUCTS or set(word) <= set("abcxyz")


def _is_unit(text: str) -> bool:
    words = text.lower().replace(".", " ").split()
    if not words or _NOT_UNITS.intersection(words[1:] if words == ["in"] else words):
        return False
    return may_be_unit(text)


def _is_amount(text: str) -> bool:
    r"""Return whether a unit can follow this text; `x \text{ is even}` has none."""
    return bool(text) and (text[-1].isdigit() or text[-1] in "})")
