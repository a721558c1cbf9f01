"""The page of a finished study, and the report that Snakemake makes of it."""

import re
from typing import Any

import pytest

pytestmark = pytest.mark.workflow


def test_the_page_says_what_became_of_the_study_and_how_to_make_it_again(finished: Any) -> None:
    page = (finished.results / "index.html").read_text()
    assert "A study that costs seconds." in page
    assert "rest-em, iteration 2 halted, so it has no solutions to compare." in page
    assert "snakemake --cores all --configfile study.yaml" in page
    assert "unknown: this is no git clone" in page
    assert str(finished.root) not in page


def test_who_makes_the_study_again_does_not_make_its_page_stale(tree: Any) -> None:
    """Commit and command are recorded; they are no part of the recipe."""
    assert "Nothing to be done" in tree.snakemake("-n", "--config", "seeds=[0]")


def test_the_report_opens_on_the_study_and_has_its_page_and_figures(tree: Any) -> None:
    tree.snakemake("--report", "report.html")
    report = (tree.root / "report.html").read_text()
    [description] = re.findall(r"var workflow_desc = (.*?);\n", report)
    assert "A study that costs seconds." in description
    assert "<svg" in description
    assert "results['results/tiny/index.html'].data_uri" in description
    for path in ("index.html", "table.csv", "figures/accuracy_by_iteration.png"):
        assert f'"results/tiny/{path}": {{"name"' in report
