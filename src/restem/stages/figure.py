"""Stage figure: draw one figure from the summary, in three formats."""

import importlib
import inspect
from collections.abc import Mapping
from pathlib import Path

from restem.artifacts.store import Job
from restem.artifacts.tables import read_rows
from restem.config.base import Strict


class Settings(Strict):
    """The module in restem.figures, and what figures may want to know."""

    figure: str
    note: str
    home: str
    confidence: float


def run(job: Job, summary: Path, outputs: Mapping[str, Path]) -> None:
    """Draw the figure and save it as PDF, SVG and PNG."""
    from restem.figures.style import save

    settings = Settings.model_validate(job.recipe.settings)
    module = importlib.import_module(f"restem.figures.{settings.figure}")
    rows = read_rows(summary, "summary")
    offered = settings.model_dump(exclude={"figure", "note"})
    wanted = inspect.signature(module.draw).parameters.keys() & offered.keys()
    drawn = module.draw(rows, settings.note, **{name: offered[name] for name in wanted})
    save(drawn, outputs["svg"].with_suffix(""))
    print(f"figure: {outputs['png']}", flush=True)
