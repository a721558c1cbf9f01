"""Accuracy by iteration, next to SFT (the paper's figures 2 and 3): does self-training pay?"""

from collections.abc import Collection, Sequence
from typing import Any, Final, NamedTuple

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from restem.figures import series, style
from restem.statistics.evaluation import BASE

_STEP: Final = 0.14  # iterations, between the boxes of two references
_COLUMNS: Final = 3  # panels side by side


class _Line(NamedTuple):
    model: str
    variant: str
    look: dict[str, Any]

    @property
    def gid(self) -> str:
        return f"{self.model}/{self.variant}"


@style.house_style()
def plot(
    summary: Sequence[series.Row],
    label: str,
    *,
    train_task: str | None = None,
    trained: Collection[str] = (),
    references: Collection[str] = (),
    split: str = "test",
    quantity: str = "accuracy",
    confidence: float = 0.95,
    marks: style.Marks = (),
    unmarked: int = 0,
) -> Figure:
    """Plot one panel per task: a line per model and method, a level per reference variant.

    train_task: the task that comes first. trained: all tasks that some policy was trained on; the
    others are labelled as transfer. Small dots are single training seeds. Raises RestemError if the
    summary has nothing to plot.
    """
    rows = series.select(summary, [split], quantity)
    curves, levels = _curves(rows, references), _levels(rows, references)
    last = max(1, *(int(row["iteration"]) for row in rows))
    tasks = series.names(rows, "task", train_task)
    figure, panels = style.wrapped_panels(len(tasks), _COLUMNS)
    for axes, task in zip(panels, tasks, strict=True):
        of_task = [row for row in rows if row["task"] == task]
        for place, line in enumerate(_measured(levels, of_task)):
            _plot_level(axes, of_task, line, last + 0.25 + _STEP * place)
        shown = _measured(curves, of_task) or _curves_of(of_task, [BASE])
        for place, line in enumerate(shown):
            _plot_curve(axes, of_task, line, 0.07 * (place - (len(shown) - 1) / 2))
        style.plot_marks(axes, marks, task)
        role = "trained on" if task in {train_task, *trained} else "transfer"
        title = task if train_task is None else f"{task} · {role}"
        style.label_panel(axes, title, series.sizes(series.over_seeds(of_task)))
        style.percent_axis(axes, f"{split} {series.with_decoding(quantity)}")
        style.iteration_axis(axes, last, 0.3 + _STEP * len(levels))
    footnotes = [_interval_note(rows, confidence), *style.mark_notes(marks, unmarked)]
    footnotes += series.remarks(rows, references)
    title = f"{split.capitalize()} {quantity} by iteration"
    return style.finish(figure, title, label, _legend(rows, curves + levels), footnotes)


def _interval_note(rows: Sequence[series.Row], confidence: float) -> str:
    text = series.interval_note(confidence, "Bars and, for SFT, boxes")
    several = any(row["seeds"] > 1 for row in rows)
    return text + (" Small dots: single training seeds." if several else "")


def _curves(rows: Sequence[series.Row], references: Collection[str]) -> list[_Line]:
    """List the lines by iteration; without any method, that of the base model."""
    return _curves_of(rows, series.methods(rows, references) or [BASE])


def _curves_of(rows: Sequence[series.Row], variants: Sequence[str]) -> list[_Line]:
    models = series.names(rows, "model")
    if len(models) == 1:
        return [_Line(models[0], variant, _look(j, -1)) for j, variant in enumerate(variants)]
    return [
        _Line(model, variant, _look(i, j - 1))
        for i, model in enumerate(models)
        for j, variant in enumerate(variants)
    ]


def _levels(rows: Sequence[series.Row], references: Collection[str]) -> list[_Line]:
    """List the lines of the reference variants."""
    models = series.names(rows, "model")
    variants = [name for name in series.names(rows, "variant") if name in references]
    first = len(series.methods(rows, references)) if len(models) == 1 else None
    return [
        _Line(
            model,
            variant,
            _look(i if first is None else first + j, j)
            | {"markerfacecolor": "white", "linewidth": 1.1},
        )
        for i, model in enumerate(models)
        for j, variant in enumerate(variants)
    ]


def _look(place: int, dash: int) -> dict[str, Any]:
    """Choose colour and marker by model, or by variant if there is one model; -1: a solid line."""
    count = len(style.COLOURS)
    return {
        "color": style.COLOURS[place % count],
        "marker": style.MARKERS[(place + place // count) % len(style.MARKERS)],
        "linestyle": "-" if dash < 0 else style.DASHES[dash % len(style.DASHES)],
    }


def _measured(lines: Sequence[_Line], rows: Sequence[series.Row]) -> list[_Line]:
    """Return the lines that have a trained policy among some rows."""
    found = {(row["model"], row["variant"]) for row in rows}
    return [line for line in lines if (line.model, line.variant) in found]


def _plot_curve(axes: Axes, rows: Sequence[series.Row], line: _Line, shift: float) -> None:
    """Plot one method by iteration; a missing iteration leaves a gap, a halt is a cross."""
    whole = series.over_seeds(rows)
    path = series.by_iteration(whole, model=line.model, variant=line.variant)
    style.curve(axes, path, line.look, line.gid, shift, zorders=(3, 4))
    _plot_seeds(axes, rows, line, shift)
    for row in series.matching(whole, model=line.model, variant=line.variant):
        if row["estimate"] is None:
            x = row["iteration"] + shift
            style.mark_halt(axes, x, line.look["color"], f"{line.gid}/halted")


def _plot_seeds(axes: Axes, rows: Sequence[series.Row], line: _Line, shift: float) -> None:
    of_line = series.matching(rows, model=line.model, variant=line.variant)
    several = {row["iteration"] for row in of_line if row["seeds"] > 1}
    dots = [row for row in of_line if row["seed"] is not None and row["iteration"] in several]
    dots = [row for row in dots if row["estimate"] is not None]
    axes.plot(
        [row["iteration"] + shift + 0.03 for row in dots],
        [row["estimate"] for row in dots],
        gid=f"{line.gid}/seeds",
        linestyle="none",
        marker=line.look["marker"],
        markersize=2.6,
        color=line.look["color"],
        alpha=0.45,
        markeredgewidth=0,
        zorder=2,
    )


def _plot_level(axes: Axes, rows: Sequence[series.Row], line: _Line, x: float) -> None:
    """Plot a reference as a horizontal line that ends in a marker on the box of its interval."""
    whole = series.over_seeds(rows)
    for row in series.last_iteration(whole, model=line.model, variant=line.variant)[-1:]:
        box = [x - 0.4 * _STEP, x + 0.4 * _STEP]
        axes.fill_between(box, row["low"], row["high"], color=line.look["color"], alpha=0.2, lw=0)
        heights = [row["estimate"], row["estimate"]]
        axes.plot([-0.3, x], heights, gid=line.gid, markevery=[1], zorder=1.5, **line.look)


def _legend(rows: Sequence[series.Row], lines: Sequence[_Line]) -> list[Artist]:
    handles: list[Artist] = []
    for line in sorted(lines, key=lambda line: line.model):
        of_line = series.matching(rows, model=line.model, variant=line.variant)
        if of_line:
            halted = all(row["estimate"] is None for row in of_line)
            text = f"{line.model} {line.variant}{' (halted)' if halted else ''}"
            handles.append(Line2D([], [], label=text, **line.look))
    return handles + style.halt_handles(rows)
