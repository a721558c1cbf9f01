"""The page of a study in a real browser: it fits a phone, and asks for nothing but itself."""

import json
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from html import unescape
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from restem.config.load import load_study, read_yaml
from restem.pages.index import html
from restem.statistics.changes import GAINED
from restem.study import slices
from restem.study.graph import StudyGraph
from tests.unit.pages.contents import changed, content
from tests.unit.pages.test_index import HOSTILE

CONFIG = Path(__file__).parents[3] / "config"
TAKEN = "document.title = 'taken'"
ATTACK = f'<script>{TAKEN}</script><img src="http://127.0.0.1:9/x.png" onerror="{TAKEN}">'
# A page of our own that loads the study's page, opens all that is folded, and writes down what a
# reader would meet.
READER = """<!DOCTYPE html><iframe src="index.html" style="width: WIDTHpx; height: 900px"></iframe>
<script>
addEventListener("load", () => {
  const page = document.querySelector("iframe").contentDocument, root = page.documentElement;
  const every = selector => [...page.querySelectorAll(selector)];
  const closed = every("details").filter(d => !d.open).length;
  every("details").forEach(d => d.open = true);
  const scrolls = every("*").filter(e => e.scrollWidth > e.clientWidth + 1 && e.clientWidth &&
    ["auto", "scroll"].includes(getComputedStyle(e).overflowX));
  document.body.textContent = JSON.stringify({
    closed: closed,
    missing: [...page.images].filter(i => !i.naturalWidth).length,
    shown: [...page.images].filter(i => i.naturalWidth && i.clientWidth).length,
    wider: root.scrollWidth - root.clientWidth,
    outside: every("main *").filter(e => !e.closest(".wide") &&
      e.getBoundingClientRect().right > root.clientWidth + 1).map(e => e.outerHTML.slice(0, 99)),
    unreachable: [...scrolls, ...every("summary")].filter(e => e.tabIndex < 0).length,
    requests: page.defaultView.performance.getEntriesByType("resource").map(e => e.name),
    title: page.title,
    text: page.body.innerText,
    small: every("main *").filter(e => e.children.length == 0 && e.textContent.trim() &&
      parseFloat(getComputedStyle(e).fontSize) < 10).length,
  });
});
</script>"""


@pytest.fixture(scope="module")
def page(
    tmp_path_factory: pytest.TempPathFactory,
    summary: list[dict[str, Any]],
    lift_rows: list[dict[str, Any]],
) -> Path:
    """Return the page of the paper's many variants and claims, alone in its folder."""
    settings = slices.page(
        StudyGraph(load_study(read_yaml(CONFIG / "paper/mini.yaml"), CONFIG)), None
    )
    nothing = dict.fromkeys(("k", "contrast", "low", "high", "test", "estimate"))
    findings = [
        {"claim": claim["id"], "verdict": verdict, "reason": "no <L>", "problems": 0, "seeds": 0}
        | nothing
        for claim, verdict in zip(settings["claims"], ["supported", "untested"] * 99, strict=False)
    ]
    texts = [ATTACK, *HOSTILE, "x" * 5_000, "سلام " * 300]
    rows = [changed(f"problem-{i}", GAINED, t, question=t, place=i) for i, t in enumerate(texts, 1)]
    shown = content(
        summary,
        lift_rows,
        facts=settings["facts"],
        sharing=settings["sharing"],
        claims={claim["id"]: claim for claim in settings["claims"]},
        findings=findings,
        changes=rows,
        methods="| method | " + "a long heading | " * 40 + "\n| :-- |" + " :-- |" * 40
        + "\n| rest-em" + " | yes" * 40 + " |",
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("page")
    (folder / "index.html").write_text(html(shown))
    return folder / "index.html"


class Listener(SimpleHTTPRequestHandler):
    """Serves a folder, and writes down what it is asked for."""

    asked: ClassVar[list[str]] = []

    def log_message(self, message: str, *parts: Any) -> None:
        self.asked.append(self.path)


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve a folder; yield its address and what is asked for."""
    asked: list[str] = []
    listener = type("Listener", (Listener,), {"asked": asked})
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(listener, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


def looked_at(page: Path, width: int = 1280) -> dict[str, Any]:
    """Return what a reader meets on a page in a window of a width [pixels]."""
    reader = page.with_name(f"reader-{width}.html")
    reader.write_text(READER.replace("WIDTH", str(width)))
    with served(page.parent) as (address, asked):
        seen = dumped(f"{address}/{reader.name}", page.parent / "browser")
    own = {f"/{reader.name}", f"/{page.name}", "/favicon.ico"}
    return seen | {"asked": sorted(set(asked) - own)}


def dumped(address: str, profile: Path) -> dict[str, Any]:
    """Open an address in a browser, and return the JSON that its page becomes."""
    output = subprocess.run(
        ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
        + ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
        + ["--disable-quic", f"--user-data-dir={profile}"]
        + ["--virtual-time-budget=20000", "--dump-dom", address],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout
    body = re.search(r"<body>(.*)</body>", output, re.DOTALL)
    assert body is not None, output
    seen: dict[str, Any] = json.loads(unescape(body[1]))
    return seen


@pytest.fixture(scope="module", params=[390, 1280])
def seen(page: Path, request: pytest.FixtureRequest) -> dict[str, Any]:
    return looked_at(page, request.param)


def test_the_page_fits_a_phone_and_a_desk_with_everything_open(seen: dict[str, Any]) -> None:
    """Wide tables and figures scroll by themselves; the page as a whole never does sideways."""
    assert seen["closed"] > 5
    assert seen["wider"] == 0
    assert seen["outside"] == []
    assert seen["small"] == 0


def test_every_figure_is_in_the_file_and_nothing_is_asked_for(seen: dict[str, Any]) -> None:
    assert seen["missing"] == 0
    assert seen["shown"] == 2
    assert [name for name in seen["requests"] if not name.startswith("data:")] == []
    assert seen["asked"] == []


def test_completions_are_shown_and_do_nothing(seen: dict[str, Any]) -> None:
    assert seen["title"] == "sums – restem"
    assert ATTACK in seen["text"]
    assert "U+202E" in seen["text"] and "U+0000" in seen["text"]


def test_the_keyboard_reaches_whatever_opens_or_scrolls(seen: dict[str, Any]) -> None:
    assert seen["unreachable"] == 0


def test_a_page_that_is_too_wide_or_asks_for_more_is_noticed(page: Path) -> None:
    away = "http://127.0.0.1:9/away.png"
    wide = f'<p style="width: 2000px">wide</p><img src="none.png"><img src="{away}"></main>'
    seen = broken(page, wide, policy=False)
    assert seen["wider"] > 1000
    assert len(seen["outside"]) == 1
    assert seen["missing"] == 2
    assert away in seen["requests"]
    assert seen["asked"] == ["/none.png"]


def test_no_script_runs_and_nothing_is_fetched_even_where_a_text_were_not_escaped(
    page: Path,
) -> None:
    attack = f"{ATTACK}<img src='none.png'></main>"
    seen = broken(page, attack, policy=True)
    assert seen["title"] == "sums – restem"
    assert seen["asked"] == []
    assert broken(page, attack, policy=False)["title"] == "taken"


def broken(page: Path, end: str, policy: bool) -> dict[str, Any]:
    """Return what a reader meets on a page with another end; policy: whether its own holds."""
    folder = page.parent / "broken"
    folder.mkdir(exist_ok=True)
    content = page.read_text().replace("</main>", end)
    if not policy:
        content = content.replace("Content-Security-Policy", "none")
    (folder / "index.html").write_text(content)
    return looked_at(folder / "index.html", 390)
