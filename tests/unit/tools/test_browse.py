"""Completions are found by policy, verdict, decision and text, and shown without being obeyed."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from restem.artifacts.schemas.loop import EXAMPLES, REWARDS
from restem.artifacts.tables import read_rows
from restem.cli import cli
from restem.errors import RestemError
from restem.tools import completions
from restem.tools.browse import browse
from restem.tools.completions import NOT_JUDGED, Filters
from restem.tools.show import show
from tests.unit.tools.small_study import SmallStudy

BASE = "pretrained/S/base/seed-0/iter-0"
EXPLORE = f"{BASE}/sums/train/explore/seed-0"
SELECTED = "sums/S/rest-em/seed-0/iter-1/examples.parquet"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return SmallStudy().write(tmp_path_factory.mktemp("browse") / "small")


def shown(results: Path, limit: int = 10_000, **filters: str) -> str:
    return "".join(browse(results, Filters(**filters), limit))


def count(results: Path, **filters: str) -> int:
    return shown(results, **filters).count("policy=")


def test_without_filters_everything_is_counted(results: Path) -> None:
    text = shown(results)
    rewards = read_rows(results / EXPLORE / "rewards/1-of-1.parquet", REWARDS)
    correct = sum(row["verdict"] == "correct" for row in rewards)
    line = next(line for line in text.splitlines() if f"{BASE} " in line and "explore" in line)
    assert line.split()[:5] == [BASE, "sums", "train", "explore", "160"]
    assert f"{correct} correct" in line and f"{160 - correct} incorrect" in line


def test_filters_select_what_the_tables_say(results: Path) -> None:
    rewards = read_rows(results / EXPLORE / "rewards/1-of-1.parquet", REWARDS)
    correct = [row for row in rewards if row["verdict"] == "correct"]
    here = {"policy": "S/base/seed-0", "decoding": "explore"}
    assert count(results, **here) == len(rewards)
    assert count(results, **here, verdict="correct") == len(correct)
    assert count(results, **here, problem="p007") == 4
    of_problem = sum(row["problem_id"] == "p007" for row in correct)
    assert count(results, **here, verdict="correct", problem="p007") == of_problem
    assert count(results, **here, search="7 CORRECT") == sum(
        row["problem_id"].endswith("7") for row in correct
    )
    assert count(results, split="test", task="sums", policy="rest-em/seed-1/iter-2") == 40 * 5


def test_a_part_of_a_name_is_no_name(results: Path) -> None:
    with pytest.raises(RestemError, match="no completion has this policy"):
        shown(results, policy="S/rest-em/seed-0/iter-")


def test_decisions_are_those_of_the_policies_that_read_the_completions(results: Path) -> None:
    rows = read_rows(results / SELECTED, EXAMPLES)
    over = [row for row in rows if row["decision"] == "over the cap"]
    assert count(results, trained="rest-em/seed-0/iter-1", decision="over the cap") == len(over)
    text = shown(results, policy="S/base", decoding="explore", problem=over[0]["problem_id"])
    assert "sums/S/rest-em/seed-0/iter-1: over the cap" in text
    assert "sums/S/sft/seed-1/iter-1: kept, weight 1" in text


def test_a_policy_decides_on_a_source_and_not_on_all_of_its_draws(tmp_path: Path) -> None:
    older = SmallStudy(sources=(("model", 1),), gains={"star": (0.5,)}, seeds=(0,))
    results = older.write(tmp_path / "older")
    assert count(results, trained="star/seed-0/iter-1") == 160
    other = SmallStudy(sources=(("hint", 0), ("model", 1)), gains={"star": (0.5,)}, seeds=(0,))
    assert "star/seed-0/iter-1: " in shown(
        other.write(tmp_path / "other"), decoding="explore", problem="p001"
    )


def test_control_characters_of_a_completion_are_shown_and_not_sent(results: Path) -> None:
    text = shown(results, problem="p001", decoding="greedy")
    assert "so \\x1b[2J\\x1b]0;title\\x07 the answer \\u202e is" in text
    assert not set(text) & {"\x1b", "\x07", "\u202e", "\r"}


def test_showing_an_artifact_sends_no_control_characters_either(results: Path) -> None:
    text = show(results / EXPLORE / "samples/1-of-1.parquet", 2, None)
    assert "\\x1b[2J" in text and "\x1b" not in text


def test_no_more_is_shown_than_asked_for(results: Path) -> None:
    text = shown(results, limit=3, decoding="explore")
    assert text.count("policy=") == 3 and "there are more" in text
    assert "there are more" not in shown(results, limit=4, decoding="explore", problem="p001")


def test_a_table_is_read_some_rows_at_a_time(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(completions, "_BATCH", 8)
    sizes = []
    batches = completions._batches

    def measured(*arguments: Any) -> Iterator[Any]:
        for rows in batches(*arguments):
            sizes.append(len(rows))
            yield rows

    monkeypatch.setattr(completions, "_batches", measured)
    assert count(results, policy="S/base", decoding="explore") == 160
    assert max(sizes) <= 8 and sum(sizes) == 160
    sizes.clear()
    shown(results, limit=3, decoding="explore")
    assert len(sizes) == 1  # the rest is not read at all


def test_completions_without_a_verdict_are_found(results: Path, tmp_path: Path) -> None:
    shutil.copytree(results, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / EXPLORE / "rewards")
    assert f"160 {NOT_JUDGED}" in shown(tmp_path / "copy")
    assert count(tmp_path / "copy", decoding="explore", verdict=NOT_JUDGED) == 160
    assert count(tmp_path / "copy", decoding="explore", verdict="correct") == 0


@pytest.mark.parametrize("filters", [{"verdict": "wrong"}, {"problem": "p999"}, {"search": "zzz"}])
def test_nothing_found_says_so(results: Path, filters: dict[str, str]) -> None:
    assert "No completion fits, of" in shown(results, **filters)


def test_a_folder_without_completions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RestemError, match="no completions"):
        shown(tmp_path)


def test_the_command_refuses_before_it_opens_a_pager(results: Path) -> None:
    done = CliRunner().invoke(cli, ["browse", str(results), "--decoding", "nothing"])
    assert isinstance(done.exception, RestemError)
    assert "name one of greedy, sample, explore" in done.exception.fix
    done = CliRunner().invoke(cli, ["browse", str(results), "--decoding", "greedy", "--limit", "1"])
    assert done.exit_code == 0 and "completion" in done.output
