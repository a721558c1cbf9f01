"""A method that runs dry stops with a message, and the rest of the study goes on."""

from pathlib import Path
from typing import Any

import pytest

from restem.artifacts.schemas.estimates import SUMMARY
from restem.artifacts.schemas.evaluation import METRICS
from restem.artifacts.schemas.loop import EXAMPLES, SAMPLES
from restem.artifacts.tables import read_rows
from restem.policies.manifest import read_policy

pytestmark = pytest.mark.workflow

HALTED = "chain/T/rest-em/seed-0"
REASON = "no completion was correct: no example is left"


@pytest.mark.parametrize("iteration", [1, 2])
def test_the_policy_says_why_and_has_no_weights(finished: Any, iteration: int) -> None:
    policy = read_policy(finished.results / HALTED / f"iter-{iteration}/policy.json")
    assert policy.halted == REASON
    assert list(policy.checkpoint.glob("*.safetensors")) == []


def test_the_log_says_why(finished: Any) -> None:
    assert f"policy: halted, {REASON}" in (finished.root / "first.log").read_text()
    assert REASON in (finished.results / HALTED / "iter-1/policy.log").read_text()


def test_every_dropped_completion_has_its_reason(finished: Any) -> None:
    rows = read_rows(finished.results / HALTED / "iter-1/examples.parquet", EXAMPLES)
    assert len(rows) == 4 * 2
    assert {row["decision"] for row in rows} <= {"incorrect", "unextractable"}
    assert {row["weight"] for row in rows} == {0.0}


def test_nothing_is_drawn_from_a_halted_policy(finished: Any) -> None:
    folder = finished.results / HALTED / "iter-1"
    for path in folder.glob("chain/*/*/seed-0/samples/*.parquet"):
        assert read_rows(path, SAMPLES) == []
    assert len(list(folder.glob("chain/*/*/seed-0/samples/*.parquet"))) == 2


def test_the_other_variants_go_on(finished: Any) -> None:
    policy = read_policy(finished.results / "chain/T/sft-terse/seed-0/iter-1/policy.json")
    assert policy.halted is None
    assert policy.report["examples"] == 4
    assert len(policy.report["losses"]) == 1
    assert (policy.checkpoint / "model.safetensors").is_file()


def test_metrics_and_summary_mark_it_and_count_nothing(finished: Any) -> None:
    path = finished.results / HALTED / "iter-2/chain/test/greedy/seed-0/metrics.parquet"
    [row] = read_rows(path, METRICS)
    assert (row["halted"], row["draws"], row["correct"]) == (REASON, 0, 0)
    rows = read_rows(finished.results / "summary.parquet", SUMMARY)
    mine = [row for row in rows if row["variant"] == "rest-em"]
    assert {row["iteration"] for row in mine} == {1, 2}
    assert all(row["halted"] == REASON and row["estimate"] is None for row in mine)
    others = [row for row in rows if row["variant"] != "rest-em"]
    assert all(row["halted"] is None for row in others)


def test_the_table_and_the_figures_exist_and_mark_it(finished: Any) -> None:
    table = (finished.results / "table.md").read_text()
    lines = [line for line in table.splitlines() if "rest-em" in line]
    assert len(lines) >= 2
    assert all(REASON in line for line in lines if "halted" in line)
    assert any("halted" in line for line in lines)
    figures: Path = finished.results / "figures"
    for kind in ("pdf", "svg", "png"):
        assert (figures / f"accuracy_by_iteration.{kind}").stat().st_size > 1000
    assert "halted" in (figures / "accuracy_by_iteration.svg").read_text()
