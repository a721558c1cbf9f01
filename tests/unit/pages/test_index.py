"""The page of a study: complete, one file, bounded, accessible, and safe with any completion."""

import re
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import pytest

from restem.pages.elements import LONGEST, table, text
from restem.pages.estimates import in_words, plotted, values
from restem.pages.index import LARGEST, MOST_FIGURE_BYTES, Figure, html
from restem.statistics.changes import BOTH, GAINED, LOST, NEITHER
from tests.unit.pages.contents import DRAWING, ORIGIN, PAIR, changed, content, cost
from tests.unit.summaries import REFERENCES
from tests.unit.summaries import row as estimated

Row = dict[str, Any]
VOID = {"meta", "img", "br"}
HOSTILE = [
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "</pre></div></main></body></html>",
    "\x00\x07\x1b[31m\x7f\x9b",
    "\u202e\u2066 reversed \u2069\u200f",
    "&lt;b&gt; &#0; \"'`{{7*7}}",
    "a" * 200_000,
    "\u0301" * 5_000,
    "\ufeff\u2028\u2029\ufffe\U000e0001",
]


class Reader(HTMLParser):
    """Reads a page strictly: every element is closed where it was opened."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), attrs
        self.elements.append((tag, dict(attrs), list(self.open)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, *tags: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes, _ in self.elements if tag in tags]


@pytest.fixture(scope="module")
def page(summary: list[Row], lift_rows: list[Row]) -> str:
    return html(content(summary, lift_rows))


# ---- what it says ----


def test_it_says_what_was_asked_and_what_came_out(page: str) -> None:
    for said in ("A study of sums.", "an embedded model", "Models: embedded model", "0, 1, 2"):
        assert said in page
    assert re.search(
        r"<b>rest-em</b> solves <b>\d+\.\d %</b> \[.*of 80 test problems of sums", page
    )
    assert re.search(r"<b>[+-]\d+\.\d points</b> against the base model \[", page)
    assert "clocks (transfer)" in page  # what is lost elsewhere is no secret
    assert "snakemake --cores all --configfile config/sums.yaml" in page
    assert f"{'c' * 40}, with changes that were not committed" in page
    assert "e" * 64 in page


def test_the_values_of_the_main_figure_stand_beside_it(page: str, summary: list[Row]) -> None:
    main = page.split('<div class="main">')[1].split("</section>")[0]
    shown = plotted(summary, {"split": ["test"]}, "accuracy")
    assert len(shown) == main.count('<tr><th scope="row"') > 10
    for row in shown:
        interval = f"[{100 * row['low']:.1f}, {100 * row['high']:.1f}]"
        assert f'{100 * row["estimate"]:.1f}</td><td class="number">{interval}' in main


def test_the_alternative_text_of_a_figure_states_its_values(page: str, summary: list[Row]) -> None:
    first, *_ = Reader(page).all("img")
    rows = plotted(summary, {"split": ["test"], "task": ["sums"], "model": ["S"]}, "accuracy")
    words = in_words(rows, "Accuracy")
    for row in rows:
        assert f"{100 * row['estimate']:.1f} %" in words
    assert str(first["alt"]).startswith("Accuracy by iteration: clocks test L base 0 ")
    assert "more values in the table below" in str(first["alt"])


def test_what_is_the_same_in_all_rows_is_said_once(summary: list[Row]) -> None:
    rows = plotted(summary, {"split": ["test"], "task": ["sums"]}, "accuracy")
    shown = values(rows, "Accuracy", 0.95)
    assert "(task sums; split test; decoding greedy; quantity accuracy)" in shown
    assert "<th" in shown and ">split</th>" not in shown


def test_groups_and_rates_have_values_too() -> None:
    groups = [
        estimated("rest-em", 0.5, kind="level", group=str(level), reference=None)
        for level in (1, 2)
    ]
    shown = values(plotted(groups, {"kind": ["level"]}, "accuracy"), "By level", 0.95)
    assert '<th scope="row">2</th><td class="number">50.0</td>' in shown
    assert plotted(groups, {"kind": ["subject"]}, "accuracy") == []
    rate = {"task": "sums", "model": "S", "variant": "rft", "iteration": 1, "check": "equations"}
    rate |= {"estimate": None, "low": None, "high": None, "seed": None}
    rates = [rate | {"origin": origin} for origin in ("first-try", "rationalised")]
    shown = values(plotted(rates, {}, None), "Rates", 0.95)
    assert '<th scope="row">first-try</th><td class="number">–</td>' in shown
    assert in_words(rates, "Rates") == "Rates: no values."


def test_changed_problems_stand_side_by_side_with_their_verdicts(page: str) -> None:
    part = page.split('id="changes"')[1]
    assert part.index("sums/1") < part.index("Lost: solved only before training (1 of 1 shown)")
    assert part.count('<div class="side right">') == part.count('<div class="side wrong">') == 2
    assert "Never solved" not in part  # there is none to show
    assert '<li class="gained"><b>1</b> gained</li>' in part


def test_draws_are_counted_where_a_problem_has_several(
    summary: list[Row], lift_rows: list[Row]
) -> None:
    row = changed("sums/1", GAINED, before_draws=8, before_correct=3, after_draws=8)
    page = html(content(summary, lift_rows, changes=[row]))
    assert "at least half of the 8 draws are correct" in page
    assert "3 of 8 draws correct" in page


def test_a_halted_policy_has_nothing_to_compare(
    damaged: list[Row], damaged_lifts: list[Row]
) -> None:
    page = html(content(damaged, damaged_lifts, changes=[]))
    assert "rest-em, iteration 3 halted, so it has no solutions to compare." in page
    assert "halted: no examples left" in page
    Reader(page)


def test_untested_claims_are_folded_into_one_line(summary: list[Row], lift_rows: list[Row]) -> None:
    nothing: Row = dict.fromkeys(("k", "contrast", "low", "high", "test", "estimate"))
    nothing |= {"problems": 0, "seeds": 0}
    tested = {"estimate": 0.1, "low": 0.05, "high": 0.2, "contrast": "S/rest-em/3 - S/base", "k": 1}
    names = [f"claim-{number}" for number in range(22)]
    findings = [nothing | {"claim": n, "verdict": "untested", "reason": "no <L>"} for n in names]
    findings[0] |= {**tested, "verdict": "supported", "reason": None}
    claims = {name: {"says": f"{name} holds.", "where": "section 5"} for name in names}
    page = html(content(summary, lift_rows, claims=claims, findings=findings))
    part = page.split('id="claims"')[1].split("</section>")[0]
    shown, folded = part.split("<details>")
    assert "1 supported" in shown and "+10.0 points [+5.0, +20.0]" in shown
    assert "claim-1" not in shown
    why = "the most frequent reason: no &lt;L&gt;"
    assert f"<summary>21 claims are not tested here; {why}</summary>" in folded
    assert folded.count("<td>no &lt;L&gt;</td>") == 21
    assert 'id="claims"' not in html(content(summary, lift_rows))


def test_overlap_costs_and_sizes_of_splits_are_reported(
    summary: list[Row], lift_rows: list[Row]
) -> None:
    names = {"left_task": "sums", "left_split": "train", "right_task": "sums"}
    pair = names | {"right_split": "test", "kind": "ngram", "score": 1.0}
    costs = [cost("study", "sums"), cost("study", "sums", "shared")]
    costs += [cost("variant", name, c) for name in ("sft", "") for c in ("alone", "shared")]
    page = html(content(summary, lift_rows, overlap=[pair, pair], ledger=costs))
    row = '<th scope="row">sums train</th><th scope="row">sums test</th><td>ngram</td>'
    assert f'{row}<td class="number">2</td>' in page
    assert "No test problem was found in another split" not in page
    assert "<summary>Variants, with their evaluations</summary>" in page
    assert "<summary>Experiments" not in page


def test_a_study_without_training_and_without_figures_has_a_page(summary: list[Row]) -> None:
    bare: Row = {"figures": [], "compared": [], "changes": [], "main": {}, "origin": {}}
    base = [row for row in summary if row["variant"] == "base" and row["split"] == "train"]
    page = html(content(base, [], **bare, sharing={}))
    reader = Reader(page)
    linked = {str(link["href"])[1:] for link in reader.all("a")}
    assert linked == {"table", "asked", "costs", "data"}
    assert "Base models on sums: train results" in page


# ---- one file, of a bounded size ----


def test_it_names_no_other_file_and_no_address(page: str) -> None:
    reader = Reader(page)
    for attributes in reader.all("a"):
        assert str(attributes["href"]).startswith("#")
    for attributes in reader.all("img"):
        assert str(attributes["src"]).startswith("data:image/svg+xml;base64,")
    assert not reader.all("script", "link", "iframe", "object", "form", "base")
    assert "url(" not in page and "@import" not in page
    assert not re.search(r"https?:", page)


def test_its_size_is_bounded_whatever_a_study_holds(
    summary: list[Row], lift_rows: list[Row]
) -> None:
    long, kinds = "x" * 100_000, (GAINED, LOST, NEITHER, BOTH)
    rows = [
        changed(f"{kind}-{n}-{long}", kind, long, question=long, answer=long, place=n)
        for kind in kinds
        for n in range(1, 21)
    ]
    rows += [row | {"place": None, "problem_id": str(n)} for n, row in enumerate(rows * 20)]
    figures = [Figure(f"F{n}", long, long, summary * 3, DRAWING * 4_000) for n in range(40)]
    more: Row = {
        "figures": figures,
        "facts": [("Models", [f"{n}: {long}" for n in range(1_000)])] * 6,
        "splits": [(f"task-{n}", "test", n) for n in range(5_000)],
        "overlap": [
            {"left_task": str(n), "left_split": "train", "right_task": "t", "right_split": "test",
             "kind": "ngram"} for n in range(5_000)
        ],
        "ledger": [cost("variant", f"{n}-{long}", charge) for n in range(500)
                   for charge in ("alone", "shared")],
        "description": long,
        "notes": [long] * 5,
    }  # fmt: skip
    page = html(content(summary, lift_rows, changes=rows, **more))
    assert MOST_FIGURE_BYTES < len(page.encode()) < LARGEST
    assert "The page has no room for this figure: see figures/F39.svg." in page
    assert "characters left out" in page and "more rows are left out" in page
    Reader(page)


# ---- accessible ----


def test_headings_landmarks_and_language_are_in_order(page: str) -> None:
    reader = Reader(page)
    levels = [int(tag[1]) for tag, _, _ in reader.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    for landmark in ("header", "nav", "main"):
        assert len(reader.all(landmark)) == 1
    assert reader.all("html") == [{"lang": "en"}]
    ids = [str(a["id"]) for _, a, _ in reader.elements if "id" in a]
    assert len(ids) == len(set(ids))
    for attributes in reader.all("section"):
        assert attributes["aria-labelledby"] in ids
    assert {str(a["href"])[1:] for a in reader.all("a")} <= set(ids)


def test_tables_have_captions_and_headers_with_a_scope(page: str) -> None:
    reader = Reader(page)
    assert len(reader.all("table")) == len(reader.all("caption")) > 4
    assert {attributes["scope"] for attributes in reader.all("th")} == {"col", "row"}
    for tag, attributes, above in reader.elements:
        if tag in ("table", "img"):
            assert above[-1] == "div"  # which scrolls, with the keyboard too
        if attributes.get("class") == "wide":
            assert attributes["tabindex"] == "0" and attributes["aria-label"]
    assert all(attributes["alt"] for attributes in reader.all("img"))


def _luminance(colour: str) -> float:
    shares = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    red, green, blue = (s / 12.92 if s <= 0.03928 else ((s + 0.055) / 1.055) ** 2.4 for s in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_every_colour_of_text_has_enough_contrast_on_every_background(page: str) -> None:
    """WCAG 2, level AA: 4.5 to 1."""
    names = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", page))
    for ink in ("ink", "quiet", "accent", "good", "bad"):
        for ground in ("soft", "warn"):
            light, dark = _luminance(names[ground]), _luminance(names[ink])
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (ink, ground)


# ---- untrusted text ----


@pytest.mark.parametrize("hostile", HOSTILE)
def test_no_text_becomes_anything_but_text(
    hostile: str, summary: list[Row], lift_rows: list[Row], page: str
) -> None:
    row = changed(hostile, GAINED, hostile, question=hostile, answer=hostile)
    row |= {"after_extracted": hostile, "after_verdict": hostile}
    texts: Row = {"description": hostile, "label": hostile, "facts": [("Models", [hostile])]}
    texts |= {"notes": [hostile], "methods": f"| {hostile} |\n| - |\n| {hostile} |"}
    texts |= {"origin": ORIGIN | {"command": hostile}, "study": hostile}
    found = html(content(summary, lift_rows, changes=[row], **texts))
    safe = html(content(summary, lift_rows, changes=[changed("x", GAINED)]))
    tags = {tag for tag, _, _ in Reader(found).elements}
    assert tags <= {tag for tag, _, _ in Reader(page + safe).elements} | {"table", "span"}
    names = {name for _, attributes, _ in Reader(found).elements for name in attributes}
    assert not {name for name in names if name.startswith("on")}
    assert not re.search(
        "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200e\u200f]", found
    )
    found.encode()


def test_what_a_reader_would_not_see_is_shown_by_its_code_point() -> None:
    assert text("a\u202eb") == 'a<span class="code">U+202E</span>b'
    assert text("\x00") == '<span class="code">U+0000</span>'
    assert text("سلام\u200cها 👩\u200d💻 é\n\tx\u00a0y") == "سلام\u200cها 👩\u200d💻 é\n\tx\u00a0y"


def test_a_long_text_keeps_its_beginning_and_its_end() -> None:
    shown = text("<" + "a" * LONGEST + ">")
    assert shown.startswith("&lt;") and shown.endswith("&gt;")
    assert "[…&nbsp;3 characters left out&nbsp;…]" in shown
    assert text("<" + "a" * (LONGEST - 2) + ">").count("left out") == 0


def test_a_table_without_rows_is_not_shown() -> None:
    assert table("Nothing", ["a"], []) == ""


def test_several_policies_are_compared_one_by_one(summary: list[Row], lift_rows: list[Row]) -> None:
    other = PAIR | {"model": "L"}
    rows = [changed("a", GAINED), changed("b", LOST) | {"model": "L"}]
    page = html(content(summary, lift_rows, compared=[PAIR, other], changes=rows))
    first, second = page.split('id="changes"')[1].split("</section>")[0].split("<h3>")[1:]
    assert first.startswith("sums · S: base → rest-em, iteration 3") and ">a</h4>" in first
    assert second.startswith("sums · L: base → rest-em, iteration 3") and ">b</h4>" in second


def test_the_main_result_is_compared_with_references_and_says_what_is_not_known(
    summary: list[Row], lift_rows: list[Row]
) -> None:
    page = html(content(summary, lift_rows))
    result = page[page.index('id="result"') : page.index('id="table"')]
    assert re.search(rf"points</b> against {REFERENCES[0]} \[", result)
    assert "One training seed" not in result
    one = [{**row, "seeds": 1} for row in summary]
    assert "One training seed" in html(content(one, lift_rows))
    assert "no evidence on language models" in page
    assert "no evidence on language models" not in html(content(summary, lift_rows, label="OLMo"))


def test_it_says_where_the_weights_are(page: str) -> None:
    assert "results/sums/sums/S/rest-em/seed-0/iter-3/checkpoint" in page
