"""Stage figure: plot one figure from the part of the estimates that it shows."""

import importlib
import inspect
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from restem.artifacts.schemas.estimates import ALONE, LEDGER, SHOWN_BY_FIGURES
from restem.artifacts.store import Job
from restem.artifacts.tables import read_rows
from restem.config.base import FigureModule, Strict
from restem.errors import RestemError
from restem.stages.declaration import InputFile, InputFiles, OutputFiles, stage


class Settings(Strict):
    """The module in restem.figures, which rows it gets, and what it may want to know.

    kept: the wanted values by column; options: more arguments of the module's function; marks:
    numbers that a paper states, for tasks of this study; unmarked: how many were left out because
    they are of another task; cited: by task, numbers that others published. train_task: the task
    that comes first; trained: the variants by the task that they are trained on.
    """

    figure: FigureModule
    table: Literal["summary", "breakdown", "false_positives"] = "summary"
    label: str
    train_task: str
    trained: dict[str, list[str]] = Field(default_factory=dict)
    confidence: float
    references: list[str]
    kept: dict[str, list[str]] = Field(default_factory=dict)
    options: dict[str, Any] = Field(default_factory=dict)
    marks: list[dict[str, Any]] = Field(default_factory=list)
    unmarked: int = 0
    cited: dict[str, dict[str, Any]] = Field(default_factory=dict)


@stage(
    lock="report",
    help={
        "estimates": "Summary, breakdown or false positives.",
        "ledger": "What policies cost, for figures that show it.",
        "output": "The figure as PDF, SVG and PNG.",
    },
)
def run(
    job: Job,
    settings: Settings,
    estimates: InputFile,
    ledger: InputFiles = (),
    *,
    output: OutputFiles,
) -> None:
    """Plot one figure and save it as PDF, SVG and PNG."""
    from restem.figures.style import save

    of_table = read_rows(estimates, SHOWN_BY_FIGURES[settings.table])
    rows = [row for row in of_table if _shown(row, settings.kept)]
    if settings.kept and not rows:
        raise RestemError(
            "no estimate is left to plot",
            f"{estimates}: {settings.kept}",
            "list the evaluations that the figure needs in its experiment",
        )
    module = importlib.import_module(f"restem.figures.{settings.figure}")
    parameters = inspect.signature(module.plot).parameters
    unknown = [name for name in settings.options if name not in parameters]
    if unknown:
        raise RestemError(
            f"figure {settings.figure} has no option {', '.join(unknown)}",
            "options of the experiment's figure",
            f"use some of {', '.join(parameters)}",
        )
    offered = dict(settings) | settings.options | {"costs": _flops_by_policy(ledger)}
    wanted = {name: value for name, value in offered.items() if name in parameters}
    save(module.plot(rows, **wanted), output[0].with_suffix(""))
    print(f"figure: {output[0].with_suffix('')}", flush=True)


def _shown(row: Mapping[str, Any], kept: Mapping[str, list[str]]) -> bool:
    return all(row[column] in values for column, values in kept.items())


def _flops_by_policy(ledger: InputFiles) -> dict[str, float]:
    """Return what each policy cost by itself, in FLOPs, as its claims name it."""
    rows = [row for path in ledger for row in read_rows(path, LEDGER)]
    policies = [row for row in rows if (row["scope"], row["charge"]) == ("policy", ALONE)]
    return {row["name"]: row["flops"] for row in policies}
