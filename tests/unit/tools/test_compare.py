"""Two studies are compared by recipes, estimates and costs; what cannot be compared is refused."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from restem.accounts.costs import cost_of_policy, cost_of_samples, total
from restem.artifacts.schemas.estimates import LIFTS
from restem.artifacts.tables import read_rows
from restem.cli import cli
from restem.errors import RestemError
from restem.pages.document import Document, Section
from restem.policies.manifest import read_policy
from restem.tools import archive as archives
from restem.tools.archive import archive, unpack
from restem.tools.compare import compare
from restem.tools.recipe_differences import OTHER_CONTENT
from restem.tools.study_results import SAVED
from tests.unit.tools.small_study import SmallStudy

SMALL = SmallStudy()


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return SMALL.write(tmp_path_factory.mktemp("compare") / "small")


@pytest.fixture
def other(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a study with some differences."""
    return lambda **changes: replace(SMALL, **changes).write(tmp_path / "other")


def section(document: Document, title: str) -> Section:
    return next(s for s in document.sections if s.title == title)


def text(section: Section) -> str:
    return "\n".join([*section.texts, *(" | ".join(row) for row in section.rows)])


def estimates(document: Document) -> list[dict[str, str]]:
    found = section(document, "Estimates")
    return [dict(zip(found.headers, row, strict=True)) for row in found.rows]


# ---- without a difference ----


def test_a_study_has_no_difference_from_itself_its_copy_and_its_archive(
    results: Path, tmp_path: Path
) -> None:
    shutil.copytree(results, tmp_path / "copy")
    archive(results, tmp_path / "a.tar.gz")
    unpack(tmp_path / "a.tar.gz", tmp_path / "unpacked")
    for same in (results, *(tmp_path / name for name in ("copy", "a.tar.gz", "unpacked"))):
        document = compare(str(results), str(same))
        assert "No difference" in text(section(document, "In short")), same
        assert not section(document, "Recipes").rows
        assert {row["B − A"] for row in estimates(document)} == {"0.0"}
        costs = section(document, "Costs").rows
        assert all(row[1] == row[2] for row in costs)
        assert "0" not in {row[1] for row in costs if row[0] in ("draws", "FLOPs", "seconds")}


@pytest.mark.parametrize(
    "change",
    [{"changed": {"training": {"patience": 4}}}, {"weights": "v"}, {"seeds": (0, 1, 2)}],
    ids=str,
)
def test_a_difference_is_never_called_none(
    results: Path, other: Callable[..., Path], change: dict[str, Any]
) -> None:
    document = compare(str(results), str(other(**change)))
    assert "No difference" not in text(section(document, "In short"))


# ---- recipes ----


def test_changed_keys_modules_and_data_are_named_with_their_stages(
    results: Path, other: Callable[..., Path]
) -> None:
    changed = other(changed={"training": {"patience": 5}}, code="b", question="multiply")
    found = text(section(compare(str(results), str(changed)), "Recipes"))
    assert "policy x 6 | key training.patience | 3 | 5" in found
    assert "policy x 6 | module restem.stages.policy | a | b" in found
    assert f"problems x 2 | {OTHER_CONTENT}" in found


def test_what_only_one_study_made_is_named(results: Path, other: Callable[..., Path]) -> None:
    document = compare(str(results), str(other(gains={"rest-em": (0.8,)})))
    found = text(section(document, "Recipes"))
    assert "Only A has:" in found and "Only B has:" not in found
    assert "sums/S/rest-em/seed-0/iter-2, " in found and "sums/S/sft/seed-1/iter-1)" in found


def test_names_of_variants_are_no_difference(results: Path) -> None:
    document = compare(f"{results}:S/rest-em/1", f"{results}:S/sft/1")
    rows = section(document, "Recipes").rows
    assert {(stages, what) for stages, what, *_ in rows} == {("policy x 2", OTHER_CONTENT)}


# ---- estimates ----


def test_two_variants_differ_by_the_lift_that_the_study_states(results: Path) -> None:
    lifts = {
        (row["iteration"], row["decoding"], row["quantity"]): row
        for row in read_rows(results / "lifts.parquet", LIFTS)
        if (row["variant"], row["reference"]) == ("rest-em", "sft")
    }
    rows = estimates(compare(f"{results}:sft", f"{results}:rest-em"))
    assert len(rows) == 2 * 3  # iterations 1 to 1, and the last ones
    for row in rows:
        iteration = int(row["policy"].rpartition("/")[2])
        lift = lifts[iteration, row["on"].split()[2], row["quantity"]]
        points = [f"{100 * lift[name]:+.1f}" for name in ("estimate", "low", "high")]
        assert row["B − A"] == f"{points[0]} [{points[1]}, {points[2]}]"
        assert row["how"] == "paired"


def test_problems_are_the_same_by_content_and_not_by_id(
    results: Path, other: Callable[..., Path]
) -> None:
    paired = estimates(compare(str(results), str(other(weights="v"))))
    unpaired = estimates(compare(str(results), str(other(question="multiply", weights="v"))))
    trained = [i for i, row in enumerate(paired) if "base" not in row["policy"]]
    assert {paired[i]["how"] for i in trained} <= {"paired", "the same completions and verdicts"}
    assert {row["how"] for row in unpaired} <= {"unpaired", "the same completions and verdicts"}


def test_some_more_problems_do_not_prevent_pairing(
    results: Path, other: Callable[..., Path]
) -> None:
    rows = estimates(compare(str(results), str(other(problems=50))))
    assert {(row["problems"], row["how"]) for row in rows} == {("40", "paired")}


@pytest.mark.parametrize(("common", "how"), [(20, "paired"), (19, "unpaired"), (0, "unpaired")])
def test_few_common_problems_are_not_enough_to_pair(
    results: Path, tmp_path: Path, common: int, how: str
) -> None:
    archive(results, tmp_path / "a.tar.gz")
    unpack(tmp_path / "a.tar.gz", tmp_path / "x")
    problems = json.loads((tmp_path / "x/problems.json").read_text())
    for number, name in enumerate(sorted(problems["sums/test"])):
        if number >= common:
            problems["sums/test"][name] = "another"
    (tmp_path / "x/problems.json").write_text(json.dumps(problems))
    rows = estimates(compare(f"{results}:rest-em", f"{tmp_path}/x:sft"))
    compared = str(common if how == "paired" else 40)
    assert {(row["problems"], row["how"]) for row in rows} == {(compared, how)}


def test_one_training_is_said_to_be_one(results: Path, other: Callable[..., Path]) -> None:
    several = section(compare(f"{results}:sft", f"{results}:rest-em"), "Estimates")
    assert not any("With one training seed" in text for text in several.texts)
    one = other(seeds=(0,))
    single = section(compare(f"{one}:sft", f"{one}:rest-em"), "Estimates")
    assert any("With one training seed" in text for text in single.texts)


# ---- costs ----


def test_costs_are_those_of_all_policies_and_samples(results: Path) -> None:
    policies = list(results.rglob("policy.json"))
    samples = list(results.rglob("samples/*.parquet"))
    forward = read_policy(policies[0]).forward
    costs = [*map(cost_of_policy, policies), *(cost_of_samples(s, forward) for s in samples)]
    expected = total(costs)
    rows = {row[0]: row[1] for row in section(compare(str(results), str(results)), "Costs").rows}
    assert rows["draws"] == f"{expected.draws / 1000:.3g} k"
    assert rows["trained tokens"] == f"{expected.trained_tokens:.3g}"


def test_a_variant_costs_what_it_was_made_from(results: Path) -> None:
    document = compare(f"{results}:sft", f"{results}:rest-em")
    rows = {row[0]: row[1:3] for row in section(document, "Costs").rows}
    assert rows["trained tokens"] == ["200", "400"]  # of two seeds; of one iteration, of two
    draws = 40 * (4 + 2 * 5), 40 * (4 + 4 * 5)  # the base model's for training, then evaluations
    assert rows["draws"] == [f"{draws[0]}", f"{draws[1]}"]


# ---- refusals ----


@pytest.mark.parametrize(
    ("selection", "reason"),
    [
        (":nonsense", "no policy with results has these names"),
        (":S/rest-em/7", "no policy with results has these names"),
        (":S/rest-em/1/0", "the selection is not"),
        (":S//1", "the selection is not"),
        ("/nowhere", "there are no results"),
    ],
)
def test_a_side_that_is_not_there_is_refused(results: Path, selection: str, reason: str) -> None:
    with pytest.raises(RestemError, match=reason):
        compare(str(results), f"{results}{selection}")


def test_sides_with_nothing_in_common_are_refused_with_what_they_have(
    results: Path, other: Callable[..., Path]
) -> None:
    changed = other(gains={"star": (0.5,)})
    with pytest.raises(RestemError, match="nothing to compare") as error:
        compare(f"{results}:rest-em", str(changed))
    assert "S/rest-em/1 on sums test greedy" in error.value.where
    assert "S/star/1 on sums test greedy" in error.value.where


def test_results_that_are_being_made_again_are_refused(
    results: Path, other: Callable[..., Path]
) -> None:
    changed = other()
    metrics = "sums/S/sft/seed-0/iter-1/sums/test/greedy/seed-0"
    for name in ("metrics.parquet", ".restem/metrics.parquet.seal.json"):
        (changed / metrics / name).unlink()
    with pytest.raises(RestemError, match="other results than those that are there"):
        compare(str(results), str(changed))


def test_an_archive_of_estimates_alone_is_refused(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "_saved", lambda study: {})
    archive(results, tmp_path / "old.tar.gz")
    with pytest.raises(RestemError, match="no results by problem"):
        compare(str(results), str(tmp_path / "old.tar.gz"))


def test_an_archive_is_damaged_if_its_recipes_are(results: Path, tmp_path: Path) -> None:
    archive(results, tmp_path / "a.tar.gz")
    unpack(tmp_path / "a.tar.gz", tmp_path / "x")
    (tmp_path / "x" / "recipes.json").write_text('{"version": 1, "recipes": {"a": 3}, "code": {}}')
    with pytest.raises(RestemError, match="damaged"):
        compare(str(results), str(tmp_path / "x"))


# ---- archives ----


def test_an_archive_of_a_copy_has_equal_bytes(results: Path, tmp_path: Path) -> None:
    shutil.copytree(results, tmp_path / "copy" / "small")
    for number, folder in enumerate((results, tmp_path / "copy" / "small")):
        digests, missing = archive(folder, tmp_path / f"{number}.tar.gz")
        assert set(SAVED) <= set(digests) and missing is None
    assert (tmp_path / "0.tar.gz").read_bytes() == (tmp_path / "1.tar.gz").read_bytes()


def test_an_archive_does_not_grow_with_completions(
    results: Path, other: Callable[..., Path], tmp_path: Path
) -> None:
    archive(results, tmp_path / "short.tar.gz")
    archive(other(words="word " * 2000), tmp_path / "long.tar.gz")
    sizes = [(tmp_path / f"{name}.tar.gz").stat().st_size for name in ("short", "long")]
    assert sizes[1] < 1.05 * sizes[0]


def test_results_that_are_being_made_again_are_archived_without_what_is_gone(
    other: Callable[..., Path], tmp_path: Path
) -> None:
    changed = other()
    next(changed.rglob("metrics.parquet")).unlink()
    next(changed.rglob("metrics.parquet.seal.json")).unlink()
    digests, missing = archive(changed, tmp_path / "a.tar.gz")
    assert "summary.parquet" in digests and "metrics.parquet" not in digests
    assert missing and "compare" in missing


# ---- the command ----


@pytest.mark.parametrize(("suffix", "start"), [("md", "# "), ("html", "<!DOCTYPE html>")])
def test_a_comparison_is_printed_and_written(
    results: Path, tmp_path: Path, suffix: str, start: str
) -> None:
    output = tmp_path / f"compare.{suffix}"
    command = ["compare", str(results), str(results), "--output", str(output)]
    done = CliRunner().invoke(cli, command, catch_exceptions=False)
    assert done.exit_code == 0 and "No difference" in done.output
    assert output.read_text().startswith(start) and "No difference" in output.read_text()


def test_another_kind_of_output_is_refused(results: Path) -> None:
    command = ["compare", str(results), str(results), "--output", "compare.pdf"]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 2 and ".html" in done.output
