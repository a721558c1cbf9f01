"""The pages of docs/reference are in step with what they describe."""

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from restem.artifacts.schemas.every import KINDS
from restem.cli import cli
from restem.config.load import load_published
from restem.config.strict_yaml import read_yaml

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "docs"))
from write_reference import (  # noqa: E402
    CONFIG,
    command_reference,
    configuration_reference,
    methods_reference,
    paper_reference,
    with_columns,
)

PAGES = ROOT / "docs" / "reference"
ARTIFACTS = (PAGES / "artifacts.md").read_text()
WRITERS: dict[str, Callable[[], str]] = {
    "configuration.md": configuration_reference,
    "commands.md": lambda: command_reference(cli),
    "artifacts.md": lambda: with_columns(ARTIFACTS),
    "paper.md": lambda: paper_reference(ROOT / "config"),
    "methods.md": lambda: methods_reference(CONFIG / "methods"),
}


@pytest.mark.parametrize("name", WRITERS)
def test_the_committed_page_is_the_generated_one(name: str) -> None:
    assert (PAGES / name).read_text() == WRITERS[name](), (
        "renew the pages: python docs/write_reference.py"
    )


def test_every_link_between_blocks_has_a_heading() -> None:
    page = configuration_reference()
    headings = re.findall(r"^## (.*)$", page, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    links = set(re.findall(r"\]\(#([^)]*)\)", page))
    assert len(anchors) == len(headings)
    assert links == anchors - {"the-study"}


def test_the_page_on_the_paper_has_every_item_experiment_and_claim() -> None:
    page = paper_reference(ROOT / "config")
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| ")]
    items = load_published(ROOT / "config")["items"]
    assert items.keys() <= {row[0].removeprefix("| ") for row in rows}
    here = " ".join(row[0] + row[2] for row in rows if len(row) > 2)
    for path in (ROOT / "config" / "paper" / "experiments").glob("*.yaml"):
        assert f"`{path.stem}`" in here, path.stem
    # A claim belongs to the experiment that its id begins with, and stands in its row alone.
    for claim in read_yaml(ROOT / "config" / "paper" / "claims.yaml")["claims"]:
        assert page.count(f"`{claim['id']}`") >= 1, claim["id"]
    [figure_7] = [row for row in rows if row[0] == "| Figure 7"]
    assert "`F7-math`" not in " ".join(figure_7)


def test_what_differs_from_the_paper_is_what_the_experiments_state(tmp_path: Path) -> None:
    config = shutil.copytree(ROOT / "config", tmp_path / "config")
    path = config / "paper" / "experiments" / "F2.yaml"
    [same] = [line for line in paper_reference(config).splitlines() if "| Figure 2 |" in line]
    assert same.endswith("| same |")
    path.write_text(path.read_text().replace("item: Figure 2", "item: Figure 2\ndiffers: [a, b]"))
    [differs] = [line for line in paper_reference(config).splitlines() if "| Figure 2 |" in line]
    assert differs.endswith("| A. B. |")


def test_every_table_has_a_list_of_columns() -> None:
    assert {kind for kind in KINDS if f"<!-- columns of {kind} -->" not in ARTIFACTS} == set()


def test_every_output_of_a_rule_is_on_the_page_of_artifacts() -> None:
    paths = set()
    for rules in (ROOT / "rules").glob("*.smk"):
        for outputs in re.findall(r"    output:\n((?:        .*\n)+)", rules.read_text()):
            paths |= set(re.findall(r'"<\w+>/([^"]+)"', outputs))
    assert len(paths) > 25
    assert {path for path in paths if path not in ARTIFACTS} == set()
