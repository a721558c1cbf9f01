"""The page of a study, looked at in a real browser: figures are shown, links lead somewhere."""

import json
import re
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from restem.config.load import load_study, read_yaml
from restem.pages.index import Figure, html
from restem.study import slices
from restem.study.graph import StudyGraph

CONFIG = Path(__file__).parents[3] / "config"
DRAWING = '<svg xmlns="http://www.w3.org/2000/svg" width="900" height="90"><rect width="9"/></svg>'
# A page of our own that loads the study's page, and writes down what a reader would meet.
READER = """<!DOCTYPE html><iframe src="index.html" style="width: WIDTHpx; height: 900px"></iframe>
<script>
addEventListener("load", () => {
  const page = document.querySelector("iframe").contentDocument, root = page.documentElement;
  document.body.textContent = JSON.stringify({
    missing: [...page.images].filter(i => !i.naturalWidth).map(i => i.getAttribute("src")),
    shown: [...page.images].filter(i => i.naturalWidth && i.clientWidth).length,
    links: [...page.links].map(a => a.getAttribute("href")),
    ids: [...page.querySelectorAll("[id]")].map(e => e.id),
    wider: root.scrollWidth - root.clientWidth,
    fetched: page.defaultView.performance.getEntriesByType("resource").map(e => e.name),
    text: page.body.innerText,
  });
});
</script>"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page of the paper with the tiny models, all files that it names beside it."""
    settings = slices.page(
        StudyGraph(load_study(read_yaml(CONFIG / "paper/mini.yaml"), CONFIG)), None
    )
    claims = {claim["id"]: claim for claim in settings["claims"]}
    nothing = dict.fromkeys(("k", "contrast", "low", "high", "test", "estimate"))
    findings = [
        {"claim": name, "verdict": "untested", "reason": "not <run>", "problems": 0, "seeds": 0}
        | nothing
        for name in claims
    ]
    figures = [
        Figure(**known, path=f"figures/{known['name']}.svg") for known in settings["figures"]
    ]
    text = html(
        settings["study"],
        settings["description"],
        settings["label"],
        figures,
        claims,
        findings,
        [],
        "| method | " + "a long heading | " * 40 + "\n| :-- |" + " :-- |" * 40,
        settings["sharing"],
        settings["more"],
    )
    folder = tmp_path_factory.mktemp("page")
    (folder / "index.html").write_text(text)
    for link in re.findall(r'(?:href|src)="([^"#]+)"', text):
        (folder / link).parent.mkdir(exist_ok=True)
        (folder / link).write_text(DRAWING)
    return folder / "index.html"


def looked_at(page: Path, width: int = 1200) -> dict[str, Any]:
    """Return what a reader meets on a page in a window of a width [pixels]."""
    reader = page.with_name(f"reader-{width}.html")
    reader.write_text(READER.replace("WIDTH", str(width)))
    output = subprocess.run(
        ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
        + ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
        + ["--disable-quic", "--allow-file-access-from-files", f"--user-data-dir={page.parent}/b"]
        + ["--virtual-time-budget=20000", "--dump-dom", reader.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout
    body = re.search(r"<body>(.*)</body>", output, re.DOTALL)
    assert body is not None, output
    seen: dict[str, Any] = json.loads(unescape(body[1]))
    return seen


def test_every_figure_is_shown_and_every_link_leads_somewhere(page: Path) -> None:
    seen = looked_at(page)
    assert seen["missing"] == []
    assert seen["shown"] == page.read_text().count("<img ") > 10
    inside = {link[1:] for link in seen["links"] if link.startswith("#")}
    assert inside and inside <= set(seen["ids"])
    assert all((page.parent / link).exists() for link in seen["links"] if link[0] != "#")
    assert "not <run>" in seen["text"]


def test_nothing_is_fetched_from_elsewhere(page: Path) -> None:
    assert all(name.startswith(page.parent.as_uri()) for name in looked_at(page)["fetched"])


@pytest.mark.parametrize("width", [1200, 400])
def test_the_page_fits_its_window(page: Path, width: int) -> None:
    """Wide tables scroll by themselves; the page as a whole never does sideways."""
    assert looked_at(page, width)["wider"] == 0


def test_a_figure_that_is_missing_is_noticed(page: Path) -> None:
    first = next(page.parent.glob("figures/*.svg"))
    kept = first.read_text()
    first.unlink()
    missing = looked_at(page)["missing"]
    first.write_text(kept)
    assert missing == [f"figures/{first.name}"]
