"""Whatever was done to a tree, but not to what its seals say, a plan is the same.

Random edits of configuration, code and files are made in two trees: in one that is as a run left
it, and in one that was copied, moved, stripped of Snakemake's records, or made by a run that was
killed. Both must plan the same jobs for the same reasons. RESTEM_CASES=2000 runs a longer search.
"""

import math
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import once
from tests.workflow.changes import EDITS, STATES, Change, edited_plan

pytestmark = pytest.mark.workflow

CASES = int(os.environ.get("RESTEM_CASES", "64"))
PARTS = 2  # so that two workers share the cases
STATES_FOR_EACH = 4  # edited tree, so that its plan is made once for all of them
TREES = math.ceil(CASES / PARTS / STATES_FOR_EACH)  # for each part

# ---- trees to start from ----


@pytest.fixture(scope="module")
def starts(finished: Any, killed: Path, shared: Path) -> list[Any]:
    """Return a finished tree, trees of a run that was killed, and that run's tree at the end."""

    def copy_all(folder: Path) -> None:
        folder.mkdir()
        trees = [finished, *(type(finished)(root) for root in sorted(killed.iterdir()))]
        for tree in trees:
            tree.copy(folder / tree.root.name)

    folder = once(shared, "starts", copy_all)
    return [type(finished)(root) for root in sorted(folder.iterdir())]


@pytest.mark.parametrize("part", range(PARTS))
def test_the_state_of_a_tree_does_not_change_a_plan(
    starts: list[Any], tmp_path: Path, part: int
) -> None:
    compared = {"cases": 0, "stale": 0}

    @settings(
        max_examples=TREES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(
        start=st.integers(0, len(starts) - 1),
        states=st.lists(
            st.lists(st.sampled_from(STATES), min_size=1, max_size=3, unique=True),
            min_size=STATES_FOR_EACH,
            max_size=STATES_FOR_EACH,
        ),
        edits=st.lists(st.sampled_from(EDITS), min_size=1, max_size=3),
        seed=st.integers(0, 10**6).map(lambda number: number * PARTS + part),
    )
    def compare(start: int, states: list[list[Change]], edits: list[Change], seed: int) -> None:
        intact, *others = [
            edited_plan(starts[start].copy(tmp_path / "tree"), changes, edits, seed)
            for changes in ([], *states)
        ]
        for plan in others:
            assert plan == intact
        compared["cases"] += len(others)
        compared["stale"] += len(others) * bool(intact)

    compare()
    assert compared["cases"] >= TREES * STATES_FOR_EACH
    assert compared["stale"] > compared["cases"] // 2
