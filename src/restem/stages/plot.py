"""Stage plot: one figure of an experiment, from the part of the estimates that it shows."""

import importlib
import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from restem.artifacts.store import Job
from restem.artifacts.tables import read_rows
from restem.config.base import Strict
from restem.errors import RestemError


class Settings(Strict):
    """The module in restem.figures, which rows it gets, and what it may want to know.

    kept: the wanted values by column; marks: numbers that a paper states, for tasks of this study;
    unmarked: how many were left out because they are of another task.
    """

    figure: str
    table: str
    note: str
    home: str
    confidence: float
    kept: dict[str, list[str]]
    options: dict[str, Any]
    marks: list[dict[str, Any]]
    unmarked: int


def run(job: Job, estimates: Path, outputs: Mapping[str, Path]) -> None:
    """Draw the figure and save it as PDF, SVG and PNG."""
    from restem.figures.style import save

    settings = Settings.model_validate(job.recipe.settings)
    rows = [row for row in read_rows(estimates, settings.table) if _kept(row, settings.kept)]
    if not rows:
        raise RestemError(
            "no estimate is left to draw",
            f"{estimates}: {settings.kept}",
            "list the evaluations that the figure needs in its experiment",
        )
    module = importlib.import_module(f"restem.figures.{settings.figure}")
    offered = {"home": settings.home, "confidence": settings.confidence, "marks": settings.marks}
    offered |= {"unmarked": settings.unmarked, **settings.options}
    wanted = inspect.signature(module.draw).parameters.keys()
    unread = [name for name in settings.options if name not in wanted]
    if unread:
        raise RestemError(
            f"figure {settings.figure} has no option {', '.join(unread)}",
            "options of the experiment's figure",
            f"name some of {', '.join(wanted)}",
        )
    given = {name: value for name, value in offered.items() if name in wanted}
    save(module.draw(rows, settings.note, **given), outputs["svg"].with_suffix(""))
    print(f"plot: {outputs['png']}", flush=True)


def _kept(row: Mapping[str, Any], kept: Mapping[str, list[str]]) -> bool:
    return all(row[column] in values for column, values in kept.items())
