"""Too few reference solutions are refused as soon as the problems are known."""

import copy
from pathlib import Path
from typing import Any

import pytest

from restem.artifacts.schemas.loop import PROBLEMS
from restem.artifacts.seals import Recipe, write_seal
from restem.artifacts.tables import table, write_table
from restem.config.load import load_study
from restem.config.study import Study
from restem.errors import RestemError
from restem.study.loading import study_to_run
from restem.study.policy_graph import PolicyGraph
from restem.study.references import known_shortages, too_few_solutions, wanted_solutions
from tests.unit.study.test_checks import CONFIG, STUDY

SELECTION = {"model_data": False, "human": "human"}


def stated(**variants: Any) -> dict[str, Any]:
    study = copy.deepcopy(STUDY)
    study["tasks"]["chain"]["human"] = "careful"
    study["variants"] = variants
    return study


def study(**variants: Any) -> Study:
    return load_study(stated(**variants), CONFIG)


SFT = {"method": "sft", "task": "chain"}
MIXED = {"method": "rest", "task": "chain", "sft": "sft"}


def test_methods_that_mix_in_human_data_need_it_too() -> None:
    both = study(sft=SFT, rest=MIXED, own={"method": "rest-em", "task": "chain"})
    assert wanted_solutions(both) == {"chain": {"sft": 0.5, "rest": 0.5}}


def test_variants_on_chosen_problems_are_judged_when_these_are_chosen() -> None:
    matched = {"method": "sft-matched", "task": "chain"}
    some = {**SFT, "changes": {"selection": {"problem_share": 0.5}}}
    assert wanted_solutions(study(matched=matched, some=some)) == {}


@pytest.mark.parametrize(
    ("count", "least", "refused"),
    [(0, 0.0, True), (37, 0.5, True), (1000, 0.5, False), (37, 0.0, False), (999, 0.5, True)],
)
def test_the_share_decides(count: int, least: float, refused: bool) -> None:
    changed = {**SFT, "changes": {"selection": {"human_share_min": least}}}
    lines = list(too_few_solutions(study(sft=changed), "chain", 2000, {"careful": count}))
    assert bool(lines) == refused


def test_variants_with_the_same_shortage_share_a_line_that_says_what_to_do() -> None:
    [line] = too_few_solutions(study(sft=SFT, rest=MIXED), "chain", 1998, {"careful": 37})
    assert line == (
        "variants.sft, rest: 37 of 1,998 training problems of chain have a reference solution "
        "'careful', and selection.human_share_min is 0.5; use data with more of them, or set it "
        "lower"
    )


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """Return results with a table of problems that an earlier run has made of the study."""
    settings = PolicyGraph(study(sft=SFT)).problems_settings("chain", "train")
    path = tmp_path / "known" / "chain/problems/train.parquet"
    counts = {"problems": 200, "dropped": {}, "solutions": {"careful": 3}}
    write_table(path, PROBLEMS, table(PROBLEMS, []), {"counts": counts})
    recipe = Recipe("problems", settings, {}, "none", {})
    write_seal(path, {**vars(recipe), "key": recipe.key, "outputs": {}})
    return tmp_path


def test_a_plan_is_refused_where_an_earlier_run_has_read_the_problems(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [line] = known_shortages(study(sft=SFT), made / "known")
    assert "3 of 200 training problems of chain" in line
    monkeypatch.chdir(tmp_path)
    assert study_to_run(stated(sft=SFT), CONFIG)  # there are no results here
    (tmp_path / "results").mkdir()
    (tmp_path / "known").rename(tmp_path / "results/known")
    with pytest.raises(RestemError, match="3 of 200 training problems of chain"):
        study_to_run(stated(sft=SFT), CONFIG)


def test_problems_that_other_settings_chose_say_nothing(made: Path) -> None:
    other = stated(sft=SFT)
    other["tasks"]["chain"]["data"]["train"] = 3
    assert list(known_shortages(load_study(other, CONFIG), made / "known")) == []


def test_a_damaged_table_is_left_to_the_run(made: Path) -> None:
    (made / "known/chain/problems/train.parquet").write_bytes(b"x")
    assert list(known_shortages(study(sft=SFT), made / "known")) == []
