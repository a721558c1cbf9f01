"""Stage page: one HTML file that shows a whole study, and needs no server and no other file."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from restem.artifacts.files import write_text
from restem.artifacts.schemas.estimates import CLAIMS, LEDGER, LIFTS, SHOWN_BY_FIGURES
from restem.artifacts.schemas.evaluation import CHANGES, OVERLAP
from restem.artifacts.schemas.loop import PROBLEMS
from restem.artifacts.seals import accepted
from restem.artifacts.store import Job
from restem.artifacts.tables import read_rows, read_table
from restem.config.base import Strict
from restem.pages import estimates
from restem.pages.index import Content, Figure, html
from restem.stages.declaration import InputFile, InputFiles, OutputFile, Resource, stage


class Shown(Strict):
    """A figure of the page, and which estimates it is plotted from."""

    name: str
    title: str
    caption: str
    table: Literal["summary", "breakdown", "false_positives"]
    kept: dict[str, list[str]]
    quantity: str | None


class Settings(Strict):
    """What the page says besides estimates, costs and solutions; see restem.pages.index.Content.

    notes: what is known of the data of base models. splits: task and split of the problems.
    """

    study: str
    description: str
    label: str
    trained: dict[str, list[str]]
    references: list[str]
    confidence: float
    facts: list[tuple[str, list[str]]]
    figures: list[Shown]
    main: dict[str, str]
    compared: list[dict[str, Any]]
    claims: list[dict[str, Any]]
    sharing: dict[str, dict[str, int]]
    splits: list[tuple[str, str]]
    notes: tuple[str, ...] = Field(default=())


@stage(
    lock="report",
    help={
        "figures": "The figures as SVG, in the order of the settings.",
        "tables": "Further tables of estimates that figures are plotted from.",
        "origin": "How the study is made again, as JSON; recorded, and no part of the recipe.",
    },
)
def run(
    job: Job,
    settings: Settings,
    summary: InputFile,
    lifts: InputFile,
    ledger: InputFile,
    overlap: InputFile,
    problems: InputFiles = (),
    figures: InputFiles = (),
    tables: InputFiles = (),
    changes: InputFiles = (),
    claims: InputFiles = (),
    methods: InputFiles = (),
    *,
    origin: Annotated[str, Resource] = "",
    output: OutputFile,
) -> None:
    """Write the page of a study."""
    own = {"figures", "claims", "splits"}
    rows = {path.stem: read_rows(path, SHOWN_BY_FIGURES[path.stem]) for path in (summary, *tables)}
    sizes = [read_table(path, PROBLEMS).num_rows for path in problems]
    content = Content(
        **{name: value for name, value in dict(settings).items() if name not in own},
        summary=rows["summary"],
        lifts=read_rows(lifts, LIFTS),
        ledger=read_rows(ledger, LEDGER),
        overlap=read_rows(overlap, OVERLAP),
        splits=[(*names, n) for names, n in zip(settings.splits, sizes, strict=True)],
        figures=[
            _figure(shown, rows[shown.table], path)
            for shown, path in zip(settings.figures, figures, strict=True)
        ],
        changes=[row for path in changes for row in read_rows(path, CHANGES)],
        claims={claim["id"]: claim for claim in settings.claims},
        findings=[row for path in claims for row in read_rows(path, CLAIMS)],
        methods="\n".join(path.read_text() for path in methods),
        origin=json.loads(origin) | {"accepted": accepted(output.parent)} if origin else {},
    )
    text = html(content)
    write_text(output, text)
    print(f"page: {output}, {len(text.encode()) / 1e6:.1f} MB", flush=True)


def _figure(shown: Shown, rows: Sequence[dict[str, Any]], svg: Path) -> Figure:
    plotted = estimates.plotted(rows, shown.kept, shown.quantity)
    return Figure(shown.name, shown.title, shown.caption, plotted, svg.read_bytes())
