"""What the seals can settle takes no place in SLURM's queue."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.cluster


@pytest.fixture
def tree(finished: Any, tmp_path: Path) -> Iterator[Any]:
    """Return the finished study, which one machine has made."""
    yield finished.copy(tmp_path / "tree")


def submitted(printed: str) -> list[str]:
    """Return the names of the jobs that were submitted: rule, or group, and address."""
    return re.findall(r"(\S+) has been submitted with SLURM jobid", printed)


def test_only_what_has_other_inputs_is_submitted(
    cluster: Any, tree: Any, submit: Callable[..., str]
) -> None:
    """The examples are selected again with the same result, so nothing is trained or drawn."""
    tree.edit("src/restem/stages/examples.py", '"""Stage', 'A = 1\n"""Stage')
    printed = submit(tree)
    names = submitted(printed)
    assert names
    assert all(name.startswith("select_examples") for name in names)
    assert "reused results/tiny/chain/T/sft-terse/seed-0/iter-1/policy.json" in printed
    assert tree.plan("--profile", "profiles/slurm-without-containers").jobs == set()


def test_nothing_is_submitted_for_results_that_were_copied(
    cluster: Any, tree: Any, submit: Callable[..., str], tmp_path: Path
) -> None:
    for path in tree.results.rglob("*"):
        if path.is_file():
            path.touch()
    assert submitted(submit(tree)) == []
