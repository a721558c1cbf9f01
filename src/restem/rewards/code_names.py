"""Which names a block of code binds and uses, by its text alone: no model output is parsed here."""

import re
from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

_IDENTIFIER: Final = r"[A-Za-z_]\w*"
_NAME: Final = re.compile(_IDENTIFIER)
_USE: Final = re.compile(rf"(?<![\w.]){_IDENTIFIER}")
_DEFINITION: Final = re.compile(
    rf"^(?:async[ \t]+def|def|class)[ \t]+({_IDENTIFIER})", re.MULTILINE
)
_ASSIGNMENT: Final = re.compile(
    rf"^({_IDENTIFIER}(?:[ \t]*,[ \t]*{_IDENTIFIER})*)[ \t]*(?::[^=\n]*)?=(?!=)", re.MULTILINE
)
_IMPORT: Final = re.compile(
    r"^[ \t]{0,40}(?:from[ \t]+[\w.]+[ \t]+)?import[ \t]+(\([^)]{0,2000}\)|.+)$", re.MULTILINE
)
# What is bound inside a block; lengths are bounded, so that matching takes linear time.
_BOUND_INSIDE: Final = (
    re.compile(rf"\b(?:def|class|as)[ \t]+({_IDENTIFIER})"),
    re.compile(r"\bdef[ \t]+\w{1,80}[ \t]*\(([^)]{0,500})\)"),
    re.compile(r"\blambda\b([^:\n]{0,200}):"),
    re.compile(r"\bfor\b([^\n]{0,200}?)\bin\b"),
    re.compile(r"^[ \t]{0,80}([\w, ]{1,100}?) {0,8}(?::[^=\n]{0,100})?=(?!=)", re.MULTILINE),
)
_READS: Final = re.compile(r"\binput\s*\(|\bstdin\b|\bopen\s*\(\s*0|\bfileinput\b")
_WRITES: Final = re.compile(r"\bprint\s*\(|\bstdout\b")
_ACTS: Final = re.compile(
    r"^(?!(?:import|from|def|class|async|elif|else|except|finally)\b)[^\s#@)\]}'\"]", re.MULTILINE
)


def is_script(code: str) -> bool:
    """Return whether code that is run reads an input and prints something."""
    return bool(_READS.search(code)) and prints(code)


def prints(code: str) -> bool:
    """Return whether code that is run prints something."""
    return bool(_WRITES.search(code) and _ACTS.search(code))


def with_what_they_need(blocks: Sequence[str]) -> list[str]:
    """Return each block after those others that bind names which it uses and does not bind."""
    places: dict[str, list[int]] = {}
    for place, block in enumerate(blocks):
        for name in _bound_at_margin(block):
            places.setdefault(name, []).append(place)
    needs = [
        {_source(places[name], place) for name in _free(block) & places.keys()}
        for place, block in enumerate(blocks)
    ]
    return ["\n".join(blocks[i] for i in sorted(_closure(p, needs))) for p in range(len(blocks))]


def _closure(start: int, needs: Sequence[set[int]]) -> set[int]:
    """Return a place and all that it needs, directly or not."""
    chosen = {start}
    waiting = [start]
    while waiting:
        new = needs[waiting.pop()] - chosen
        chosen |= new
        waiting += new
    return chosen


def _source(places: Sequence[int], current: int) -> int:
    """Return the last block before the current one that binds a name, else the first after it."""
    before = bisect_left(places, current)
    return places[before - 1] if before else places[0]


def _bound_at_margin(code: str) -> set[str]:
    names = set(_DEFINITION.findall(code))
    for targets in _ASSIGNMENT.findall(code):
        names.update(_NAME.findall(targets))
    return names.union(*map(_imported, _IMPORT.findall(code)))


def _imported(clause: str) -> set[str]:
    """Return the names that `a.b, c as d` binds."""
    parts = clause.partition("#")[0].strip("() \t\r").split(",")
    return {name for part in parts for name in _NAME.findall(part.partition(" as ")[2] or part)[:1]}


def _free(code: str) -> set[str]:
    """Return the names that some code uses and binds nowhere."""
    bound = _bound_at_margin(code)
    for pattern in _BOUND_INSIDE:
        for names in pattern.findall(code):
            bound.update(_NAME.findall(names))
    return set(_USE.findall(code)) - bound
