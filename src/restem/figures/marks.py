"""Numbers that a paper states, as marks beside our own: cited, grey, and never joined to a line."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from matplotlib.axes import Axes

from restem.figures import style

Marks: TypeAlias = Sequence[Mapping[str, Any]]


def draw_marks(axes: Axes, marks: Marks, task: str) -> None:
    """Draw a dotted line for each number of a task, with its label on the line."""
    for mark in marks:
        if mark["task"] == task:
            axes.axhline(mark["value"], color=style.GREY, linestyle=":", linewidth=0.9, zorder=1)
            axes.annotate(
                mark["label"], (1, mark["value"]), xycoords=("axes fraction", "data"),
                fontsize=6, color=style.GREY, ha="right", va="bottom",
            )  # fmt: skip


def footnotes(marks: Marks, unmarked: int) -> list[str]:
    """Say where the marks are from, and that some were left out."""
    told = []
    if marks:
        told.append(
            "Dotted: numbers that the paper states of PaLM 2 (config/paper/published.yaml)."
        )
    if unmarked:
        told.append(
            "The paper's own numbers are of another task than the one here, so they are not drawn."
        )
    return told
