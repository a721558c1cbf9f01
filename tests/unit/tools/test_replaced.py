"""A plan names the present numbers that a run may replace, and how to keep them; not more."""

from pathlib import Path

import pytest

from restem.artifacts.schemas.estimates import SUMMARY
from restem.artifacts.seals import seals
from restem.artifacts.tables import read_rows
from restem.tools.dry_run import PlannedJob
from restem.tools.replaced import replaced
from tests.unit.tools.small_study import SmallStudy

RESULTS = Path("results/small")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("replaced")
    many = SmallStudy(gains={"rest-em": (0.5, 1.0), **{f"v{i}": (0.3,) for i in range(8)}})
    many.write(folder / RESULTS)
    return folder


@pytest.fixture(autouse=True)
def here(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)


def jobs(part: str) -> list[PlannedJob]:
    """Return a plan that makes everything again whose path has a part."""
    return [
        PlannedJob("rule", seal["stage"], str(path), ())
        for path, seal in seals(RESULTS)
        if part in str(path)
    ]


def test_the_policies_that_are_made_again_are_named_with_their_numbers() -> None:
    text = "\n".join(replaced(jobs("rest-em/seed-0/iter-2")))
    rows = read_rows(RESULTS / "summary.parquet", SUMMARY)
    accuracy = next(
        row["estimate"]
        for row in rows
        if (row["variant"], row["iteration"], row["seed"], row["quantity"])
        == ("rest-em", 2, None, "accuracy")
    )
    assert "It makes 1 policy again." in text
    assert f"S/rest-em/2 (sums test greedy {100 * accuracy:.1f} %, sums test sample" in text
    assert "rest-em/1" not in text and "v0" not in text


def test_how_to_keep_them_is_a_command() -> None:
    text = "\n".join(replaced(jobs("rest-em")))
    assert "restem archive results/small --output small-before.tar.gz" in text
    assert "restem compare small-before.tar.gz results/small" in text


def test_what_was_kept_before_is_not_written_over() -> None:
    for number, suffix in enumerate(("", "-2"), 2):
        archive = Path(f"small-before{suffix}.tar.gz")
        archive.touch()
        text = "\n".join(replaced(jobs("rest-em")))
        assert f"--output small-before-{number}.tar.gz" in text
    for archive in Path().glob("small-before*"):
        archive.unlink()


def test_the_list_is_bounded() -> None:
    lines = list(replaced(jobs("/")))
    assert "It makes 20 policies again." in lines
    assert "  and those of 5 more policies" in lines
    assert len(lines) == 11 and max(map(len, lines)) < 200


def test_new_evaluations_replace_the_numbers_of_old_policies() -> None:
    text = "\n".join(replaced([job for job in jobs("v3") if job.stage == "metrics"]))
    assert "again" not in text and "S/v3/1 (" in text


def test_what_is_not_there_is_not_replaced() -> None:
    new = PlannedJob("make_policy", "policy", "results/new/sums/S/a/seed-0/iter-1/policy.json", ())
    plots = [job for job in jobs("/") if job.stage == "summary"]
    assert not list(replaced([new, *plots]))
