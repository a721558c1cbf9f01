r"""Read numbers exactly: integers, decimals, a/b, \frac{a}{b}, mixed numbers and percentages.

The notation is read by patterns alone. `Fraction(text)` and `int(text)` are never given text that
a pattern has not bounded: both can take arbitrarily long on what a model writes.
"""

import re
from fractions import Fraction
from functools import lru_cache
from typing import Final

MAX_CHARACTERS: Final = 1000

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


@lru_cache(maxsize=8192)
def parse_rational(text: str) -> Fraction | None:
    """Return the number that a normalised answer states exactly, None for anything else."""
    found = _NUMBER.fullmatch(text) if len(text) <= MAX_CHARACTERS else None
    size = _magnitude(found) if found else None
    if found is None or size is None:
        return None
    value = -size if found["sign"] == "-" else size
    return value / 100 if found["percent"] else value


def _magnitude(found: re.Match[str]) -> Fraction | None:
    if found["plain"]:
        return Fraction(found["plain"])
    if found["top"]:
        return _ratio(found["top"], found["bottom"])
    if found["units"]:
        return _mixed(found["units"], _ratio(found["part"], found["parts"]))
    part = _ratio(found["over"], found["under"])
    if found["whole"]:
        signed = found["top_sign"] or found["bottom_sign"]
        return None if signed else _mixed(found["whole"], part)
    opposite = (found["top_sign"] == "-") != (found["bottom_sign"] == "-")
    return -part if opposite and part is not None else part


def _ratio(top: str, bottom: str) -> Fraction | None:
    divisor = Fraction(bottom)
    return Fraction(top) / divisor if divisor else None


def _mixed(whole: str, part: Fraction | None) -> Fraction | None:
    """Add a whole and a proper part; 3 5/2 is no mixed number, and 3·5/2 is not meant either."""
    return int(whole) + part if part is not None and part < 1 else None
