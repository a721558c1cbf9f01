"""Grade by hand: a human gives points on a sheet, and points become verdicts.

A completion is correct with full points only; its graded reward is the share of the points that
the rubric gives in full. A sheet must answer for exactly the completions that were drawn.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NoReturn

from restem.config.reward import Reward
from restem.errors import RestemError
from restem.rewards.sheet import Entry, Line, read, same_text, text_of
from restem.rewards.verifier import Outcome, Verdict, Verifier

_NUMBER: Final = re.compile(r"[0-9]+(?:\.[0-9]+|,[0-9]{1,2})?")  # 2, 2.5, and 2,5 of a comma locale
_NAMED: Final = 10  # rows that a message tells of

Key = tuple[str, int]
"""Problem and draw."""


@dataclass(frozen=True)
class Points:
    """What a completion was given, of how many points."""

    given: Decimal
    of: Decimal

    @property
    def verdict(self) -> Verdict:
        """Return the verdict: correct with full points, else incorrect with their share."""
        outcome: Outcome = "correct" if self.given == self.of else "incorrect"
        told = f"{self.given} of {self.of} points"
        return Verdict(outcome, None, "human", told, float(self.given / self.of))


def open_verifier(reward: Reward, markers: tuple[str, ...]) -> AbstractContextManager[Verifier]:
    """Refuse: no program grades these tasks."""
    _refuse()


def _refuse() -> NoReturn:
    raise RestemError(
        "completions of this task are graded by a human",
        "its verifier is `human`",
        "make a sheet (`restem sheet`), fill it in, and read it back (`restem points`)",
    )


def read_points(entries: Sequence[Entry], content: bytes, where: str) -> dict[Key, Points]:
    """Return the points of every completion from a filled sheet.

    Raises RestemError with everything that is wrong: rows that are missing, there twice or of
    other completions, texts that were edited, points that are none or more than there are.
    """
    asked = {(entry.problem_id, entry.draw): entry for entry in entries}
    lines = read(content, where)
    keyed = [(_key(line), line) for line in lines]
    _check_same_samples(asked, keyed, where)
    wrong = [
        *_misplaced(asked, keyed),
        *(f"{line.place}: {what}" for key, line in keyed if key in asked
          for what in _complaints(asked[key], line)),
    ]  # fmt: skip
    if not wrong:
        wrong = list(_uneven(keyed))
    if wrong:
        more = f"; and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
        raise RestemError(
            "; ".join(wrong[:_NAMED]) + more,
            where,
            "correct these rows: one for each completion, its points and what the rubric gives in "
            "full as numbers, and nothing else changed",
        )
    return {key: Points(_number(line.points), _number(line.of)) for key, line in keyed}


def _key(line: Line) -> Key:
    draw = line.draw.strip().removeprefix("'")
    return text_of(line.problem_id).strip(), int(draw) if re.fullmatch("[0-9]{1,9}", draw) else -1


def _check_same_samples(
    asked: Mapping[Key, Entry], keyed: Sequence[tuple[Key, Line]], where: str
) -> None:
    """Refuse a sheet that was filled in for other completions, instead of naming all its rows."""
    strange = sum(
        key not in asked or not same_text(line.completion, asked[key].completion)
        for key, line in keyed
    )
    if strange > 1 and 2 * strange > len(keyed):
        raise RestemError(
            f"this is a sheet of other samples: {strange} of its {len(keyed)} completions are not "
            "those that were drawn",
            where,
            "fill in the sheet that was made beside these samples, and put it here instead; or "
            "take this one away to go on without its points",
        )


def _misplaced(asked: Mapping[Key, Entry], keyed: Sequence[tuple[Key, Line]]) -> Iterator[str]:
    """Name rows that are missing, there twice, or of nothing that was drawn."""
    counts = Counter(key for key, _ in keyed)
    for key, line in keyed:
        if key not in asked:
            yield f"{line.place} is of no completion: {key[0]!r}, draw {line.draw!r}"
    for key in asked:
        if counts[key] != 1:
            often = "has no row" if not counts[key] else f"has {counts[key]} rows"
            yield f"problem {key[0]!r}, draw {key[1]}, {often}"


def _complaints(entry: Entry, line: Line) -> Iterator[str]:
    """Say what is wrong with a row."""
    for name in ("question", "completion"):
        if not same_text(getattr(line, name), getattr(entry, name)):
            yield f"the {name} was edited"
    given, of = _number(line.points), _number(line.of)
    for name, number in (("points", given), ("of", of)):
        cell = getattr(line, name).strip()
        if number.is_nan():
            yield f"{name} is {cell!r}, not a number from 0" if cell else f"{name} is empty"
    if of == 0:
        yield "of is 0"
    elif entry.of is not None and not of.is_nan() and of != Decimal(entry.of):
        yield f"of is {of}, and the rubric gives {entry.of}"
    if not given.is_nan() and not of.is_nan() and given > of:
        yield f"points are {given}, more than {of}"


def _uneven(keyed: Sequence[tuple[Key, Line]]) -> Iterator[str]:
    """Name the problems whose draws are not graded out of the same points."""
    full: dict[str, Decimal] = {}
    for (problem, _), line in keyed:
        of = _number(line.of)
        if full.setdefault(problem, of) != of:
            yield f"{line.place}: of is {of}, and {full[problem]} for another draw of it"


def _number(cell: str) -> Decimal:
    """Read a number of points; not a number where it is none."""
    text = cell.strip().removeprefix("'")
    return Decimal(text.replace(",", ".")) if _NUMBER.fullmatch(text) else Decimal("nan")
