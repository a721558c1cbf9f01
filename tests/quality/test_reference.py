"""The pages of docs/reference are in step with what they describe."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from restem.artifacts.tables import SCHEMAS
from restem.cli import cli

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "docs"))
from write_reference import (  # noqa: E402
    CONFIG,
    command_reference,
    configuration_reference,
    methods_reference,
    with_columns,
)

PAGES = ROOT / "docs" / "reference"
ARTIFACTS = (PAGES / "artifacts.md").read_text()
WRITERS: dict[str, Callable[[], str]] = {
    "configuration.md": configuration_reference,
    "commands.md": lambda: command_reference(cli),
    "artifacts.md": lambda: with_columns(ARTIFACTS),
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


def test_every_table_has_a_list_of_columns() -> None:
    assert {kind for kind in SCHEMAS if f"<!-- columns of {kind} -->" not in ARTIFACTS} == set()


def test_every_output_of_a_rule_is_on_the_page_of_artifacts() -> None:
    paths = set()
    for rules in (ROOT / "rules").glob("*.smk"):
        for outputs in re.findall(r"    output:\n((?:        .*\n)+)", rules.read_text()):
            paths |= set(re.findall(r'"<\w+>/([^"]+)"', outputs))
    assert len(paths) > 25
    assert {path for path in paths if path not in ARTIFACTS} == set()
