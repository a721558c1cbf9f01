"""Which problems were gained and lost, and which of them are shown."""

import hashlib
from typing import Any

import pytest

from restem.errors import RestemError
from restem.statistics.changes import BOTH, GAINED, LOST, NEITHER, changes, chosen, solutions


def verdicts(**draws: str) -> list[dict[str, Any]]:
    """Return rewards: a letter for each draw of a problem, `c` for a correct one."""
    names = {"c": "correct", "w": "incorrect", "u": "unextractable"}
    return [
        {"problem_id": problem, "draw": draw, "verdict": names[letter]}
        for problem, letters in draws.items()
        for draw, letter in enumerate(letters)
    ]


def test_greedy_problems_are_gained_lost_solved_by_both_or_by_neither() -> None:
    before = solutions(verdicts(a="w", b="c", c="u", d="c"))
    after = solutions(verdicts(a="c", b="u", c="w", d="c"))
    assert changes(before, after) == {"a": GAINED, "b": LOST, "c": NEITHER, "d": BOTH}


@pytest.mark.parametrize(
    ("draws", "solved", "shown"),
    [("wcwc", True, 1), ("wcww", False, 0), ("cwww", False, 1), ("ccww", True, 0), ("c", True, 0)],
)
def test_half_of_the_draws_decide_and_the_first_that_agrees_is_shown(
    draws: str, solved: bool, shown: int
) -> None:
    solution = solutions(reversed(verdicts(a=draws)))["a"]
    assert (solution.solved, solution.key) == (solved, ("a", shown))
    assert (solution.draws, solution.correct) == (len(draws), draws.count("c"))


def test_other_problems_are_refused() -> None:
    with pytest.raises(RestemError, match=r"different problems: 'b' and 1 more"):
        changes(solutions(verdicts(a="c", b="c")), solutions(verdicts(a="c", d="c")))


def test_what_is_shown_depends_on_the_names_alone() -> None:
    names = [f"problem-{number}" for number in range(100)]
    kinds = {name: (GAINED, LOST, NEITHER, BOTH)[i % 4] for i, name in enumerate(names)}
    places = chosen(kinds, 5)
    assert places == chosen(dict(reversed(kinds.items())), 5)
    assert sorted(places.values()) == sorted([1, 2, 3, 4, 5] * 3)
    assert {kinds[name] for name in places} == {GAINED, LOST, NEITHER}
    gained = sorted(
        (n for n in names if kinds[n] == GAINED), key=lambda n: hashlib.sha256(n.encode()).digest()
    )
    assert [place[0] for place in places.items() if kinds[place[0]] == GAINED] == gained[:5]
    assert gained != sorted(gained)
