"""The parts of a study's page that record: verdicts on claims, costs, data, and how it was made."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from restem.pages.elements import (
    Cell,
    details,
    interval,
    number,
    paragraphs,
    passage,
    percent,
    table,
)
from restem.pages.elements import Row as Cells
from restem.pages.ledger import HEADERS, SCOPES, cells_of_scope

Row = Mapping[str, Any]
_UNTESTED = "untested"


def claims(stated: Mapping[str, Row], findings: Sequence[Row]) -> str:
    """Show the claims that this study tests; the others are folded away, with why."""
    tested = [row for row in findings if row["verdict"] != _UNTESTED]
    untested = {row["claim"]: str(row["reason"]) for row in findings if row not in tested}
    verdicts = Counter({row["claim"]: row["verdict"] for row in tested}.values())
    counts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items()))
    rows = [
        [row["claim"], Cell(row["verdict"], row["verdict"]), _says(stated, row), _found(row)]
        for row in tested
    ]
    headers = ["claim", "verdict", "the paper says", "found here"]
    shown = table("Claims that this study tests", headers, rows)
    tally = paragraphs(f"{counts or 'None'} of the claims that this study is about.")
    return "\n".join([tally, shown, _untested(stated, untested)]) if findings else ""


def _untested(stated: Mapping[str, Row], reasons: Mapping[str, str]) -> str:
    """Fold away the claims that are not tested under how many they are, and why most are."""
    if not reasons:
        return ""
    [(often, _)] = Counter(reasons.values()).most_common(1)
    headers = ["claim", "the paper says", "why"]
    rows = [[name, _says(stated, {"claim": name}), why] for name, why in reasons.items()]
    summary = f"{len(reasons)} claims are not tested here; the most frequent reason: {often}"
    return details(summary, table("Claims that are not tested, and why", headers, rows))


def _says(stated: Mapping[str, Row], row: Row) -> str:
    claim = stated[row["claim"]]
    return f"{claim['says']} ({claim['where']})"


def _found(row: Row) -> str:
    if row["estimate"] is None:
        return str(row["reason"])
    found = percent(row["estimate"], signed=True), interval(row["low"], row["high"], signed=True)
    return (
        f"{row['contrast']}, k = {row['k']}: {found[0]} points {found[1]}, n = {row['problems']}, "
        f"seeds = {row['seeds']}"
    )


def costs(ledger: Sequence[Row], sharing: Mapping[str, Mapping[str, int]]) -> str:
    """Show what the study cost, then its experiments, variants and policies to be opened."""
    parts = []
    for scope, title in SCOPES.items():
        rows: list[Cells] = [
            [name, *(number(_once(a)) for a in amounts)]
            for name, *amounts in cells_of_scope(ledger, scope)
        ]
        if not rows:
            continue
        shown = table(title, ["name", *HEADERS.values()], rows)
        parts.append(shown if scope == "study" else details(title.partition(":")[0], shown))
    shared: list[Cells] = [
        [name, number(f"{counts['by itself']:,}"), number(f"{counts['shared']:,}")]
        for name, counts in sharing.items()
    ]
    headers = ["work", "every variant by itself", "done, shared"]
    about = (
        "FLOPs: of matrix products, attention included. Alone: what a name would cost by itself. "
        "Shared: its part, where what several names use is divided among them."
    )
    runs = details("What was shared", table("Runs", headers, shared))
    return "\n".join([*parts, runs, paragraphs(about, kind="quiet")])


def _once(amount: str) -> str:
    """Write what something costs alone and shared once, where nothing is shared."""
    alone, _, shared = amount.partition(" / ")
    return alone if alone == shared else amount


def data(splits: Sequence[tuple[str, str, int]], overlap: Sequence[Row]) -> str:
    """Show the splits with their sizes, and how many problems of them overlap."""
    sizes: list[Cells] = [[task, split, number(f"{count:,}")] for task, split, count in splits]
    pairs = Counter(
        (f"{r['left_task']} {r['left_split']}", f"{r['right_task']} {r['right_split']}", r["kind"])
        for r in overlap
    )
    rows: list[Cells] = [[*names, number(f"{count:,}")] for names, count in sorted(pairs.items())]
    none = "" if rows else "No test problem was found in another split, nor one much like it."
    return "\n".join(
        [
            table("Problems by split", ["task", "split", "problems"], sizes, heads=2),
            table("Pairs of like problems in two splits", ["split", "and split", "alike", "pairs"],
                  rows, heads=2),
            paragraphs(none),
        ]
    )  # fmt: skip


def origin(stated: Mapping[str, Any], study: str, policies: Sequence[Row]) -> str:
    """Say how the study can be made again: code, environments, command; and where policies are."""
    if not stated:
        return ""
    commit, dirty = stated["commit"], stated["dirty"]
    state = "with changes that were not committed" if dirty else "without further changes"
    code = [
        ["commit", Cell(f"{commit}, {state}" if commit else "unknown: this is no git clone")],
        ["code of all stages", stated["code"]],
        *([f"envs/{family}.txt", lock] for family, lock in stated["locks"].items()),
        *(
            ["accepted", f"{count} artifacts that were made when this was different: {note}"]
            for note, count in stated.get("accepted", {}).items()
        ),
    ]
    return "\n".join(
        [
            passage(stated["command"]),
            table("What it was made with; SHA-256 digests do not count comments",
                  ["of", "commit or digest"], code),
            paragraphs(
                f"results/{study} holds what this page is made from: table.md, table.csv, "
                "figures/ (PDF, SVG, PNG) and every table of estimates. Each artifact has a seal "
                "with the digests of its settings, code, environment and inputs.",
                kind="quiet",
            ),
            *_weights(study, policies),
        ]
    )  # fmt: skip


def _weights(study: str, policies: Sequence[Row]) -> Iterator[str]:
    if policies:
        names = ("task", "model", "variant", "seed", "iteration")
        places = [
            "results/{}/{}/{}/{}/seed-{}/iter-{}/checkpoint".format(study, *(p[n] for n in names))
            for p in policies
        ]
        yield paragraphs(
            "The weights of the policies above are in these folders, unless a policy halted or was "
            "pruned. transformers and vLLM load them by their path; restem publish makes them "
            "ready for others."
        )
        yield passage("\n".join(places))


def markdown_table(content: str) -> str:
    """Convert the first table in a Markdown text to HTML."""
    lines = [row.strip("| ").split(" | ") for row in content.splitlines() if row.startswith("|")]
    return table("Methods by property", lines[0], lines[2:]) if len(lines) > 2 else ""
