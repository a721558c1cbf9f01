"""Stage page: one HTML file that shows figures, claims and costs, and needs no server."""

import os
from typing import Any

from restem.artifacts.files import write_text
from restem.artifacts.store import Job
from restem.artifacts.tables import read_rows
from restem.config.base import Strict
from restem.pages.index import Figure, html
from restem.stages.declaration import InputFile, InputFiles, OutputFile, stage


class Settings(Strict):
    """What the page says besides tables and figures.

    more: files that only some studies have. notes: what is known of the data of base models.
    """

    study: str
    description: str
    label: str
    figures: list[dict[str, str]]
    claims: list[dict[str, Any]]
    confidence: float
    sharing: dict[str, dict[str, int]]
    seeds: int
    more: list[str]
    notes: tuple[str, ...] = ()


@stage(lock="report")
def run(
    job: Job,
    settings: Settings,
    figures: InputFiles = (),
    *,
    claims: InputFile,
    ledger: InputFile,
    methods: InputFile,
    output: OutputFile,
) -> None:
    """Write the page that shows figures, claims and costs; its links are relative to itself."""
    shown = [
        Figure(**figure, path=os.path.relpath(path, output.parent))
        for figure, path in zip(settings.figures, figures, strict=True)
    ]
    text = html(
        settings.study,
        settings.description,
        settings.label,
        shown,
        {claim["id"]: claim for claim in settings.claims},
        read_rows(claims, "claims"),
        read_rows(ledger, "ledger"),
        methods.read_text(),
        settings.sharing,
        settings.more,
        settings.notes,
    )
    write_text(output, text)
    print(f"page: {output}", flush=True)
