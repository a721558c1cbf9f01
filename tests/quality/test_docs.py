"""What documents promise: links lead somewhere, studies are valid, lines are short."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from restem.config.load import load_study

ROOT = Path(__file__).parents[2]
LISTED = subprocess.run(
    ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
    cwd=ROOT, capture_output=True, text=True, check=True,
).stdout.split()  # fmt: skip
PAGES = [ROOT / name for name in LISTED if (ROOT / name).is_file()]
WRITTEN = [page for page in PAGES if "reference" not in page.relative_to(ROOT).parts[:-1]]
LINK = re.compile(r"\]\(([^)\s]+)\)")
METHOD = re.compile(r"^`config/methods/([\w-]+)\.yaml`:\n\n```yaml\n(.*?)^```$", re.M | re.DOTALL)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.DOTALL)


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of a page's headings."""
    text = FENCE.sub("", page.read_text())
    headings = re.findall(r"^#+ (.*)$", text, re.M)
    words = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in words}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_files_and_headings_that_exist(page: Path) -> None:
    broken = []
    for link in LINK.findall(FENCE.sub("", page.read_text())):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if "://" not in link and (
            not target.exists() or (anchor and anchor not in anchors(target))
        ):
            broken.append(link)
    assert not broken


@pytest.mark.parametrize("page", WRITTEN, ids=name_of)
def test_lines_are_at_most_100_characters_long_except_rows_of_tables(page: Path) -> None:
    lines = enumerate(page.read_text().splitlines(), start=1)
    assert not [number for number, line in lines if len(line) > 100 and line[0] != "|"]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_studies_in_documents_are_valid(page: Path) -> None:
    text = page.read_text()
    methods = {name: yaml.safe_load(block) for name, block in METHOD.findall(text)}
    for language, block in FENCE.findall(text):
        if language == "yaml" and block.startswith("study:"):
            study = yaml.safe_load(block)
            methods_of_page = {**methods, **study.get("methods", {})}
            load_study({**study, "methods": methods_of_page}, ROOT / "config")
