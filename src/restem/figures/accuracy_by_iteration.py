"""Accuracy by iteration, next to SFT (the paper's figures 2 and 3): does self-training pay?"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from restem.figures import series, style
from restem.statistics.evaluation import BASE

_Line: TypeAlias = tuple[str, str, dict[str, Any]]
_STEP: Final = 0.14  # iterations, from one SFT variant's box to the next


@style.house_style()
def draw(
    summary: Sequence[Mapping[str, Any]],
    note: str,
    *,
    home: str | None = None,
    split: str = "test",
    quantity: str = "accuracy",
    confidence: float = 0.95,
    marks: style.Marks = (),
    unmarked: int = 0,
) -> Figure:
    """Draw one panel per task: a line per model and method, a level per SFT variant.

    home: the task that was trained on; the others are marked as transfer. Small dots are single
    training seeds. Raises RestemError when the summary has nothing to draw.
    """
    rows = series.select(summary, [split], quantity)
    tasks = series.names(rows, "task", home)
    figure, panels = style.panels(1, len(tasks))
    for axes, task in zip(panels, tasks, strict=True):
        _panel(axes, [row for row in rows if row["task"] == task], rows)
        style.draw_marks(axes, marks, task)
        role = "" if home is None else " · trained on" if task == home else " · transfer"
        sizes = series.sizes(row for row in series.whole(rows) if row["task"] == task)
        style.label_panel(axes, f"{task}{role}", sizes)
        style.percent_axis(axes, f"{split} {_worded(quantity)}")
        style.iteration_axis(axes, _last(rows), 0.3 + _STEP * len(_levels(rows)))
    footnotes = [_footnote(rows, confidence), *style.footnotes(marks, unmarked)]
    footnotes += series.remarks(rows)
    title = f"{split.capitalize()} {quantity} by iteration"
    return style.finish(figure, title, note, _legend(rows), footnotes)


def _worded(quantity: str) -> str:
    return "accuracy, greedy" if quantity == "accuracy" else f"{quantity}, sampled"


def _footnote(rows: Sequence[series.Row], confidence: float) -> str:
    text = series.interval_note(confidence, "Bars and, for SFT, boxes")
    several = any(row["seeds"] > 1 for row in rows)
    return text + (" Small dots: single training seeds." if several else "")


def _panel(axes: Axes, rows: Sequence[series.Row], everything: Sequence[series.Row]) -> None:
    for place, (model, variant, look) in enumerate(_levels(everything)):
        _level(axes, rows, model, variant, look, _last(everything) + 0.25 + _STEP * place)
    curves = _curves(everything)
    for place, (model, variant, look) in enumerate(curves):
        _curve(axes, rows, model, variant, look, 0.07 * (place - (len(curves) - 1) / 2))


def _last(rows: Sequence[series.Row]) -> int:
    return max(1, *(int(row["iteration"]) for row in rows))


def _curves(rows: Sequence[series.Row]) -> list[_Line]:
    """List model, variant and look of the curves; without any method the base model is one."""
    return [
        (model, variant, _look(i, j - 1))
        for i, model in enumerate(series.names(rows, "model"))
        for j, variant in enumerate(series.loops(rows) or [BASE])
    ]


def _levels(rows: Sequence[series.Row]) -> list[_Line]:
    """List model, variant and look of the SFT variants."""
    return [
        (model, variant, _look(i, j) | {"markerfacecolor": "white", "linewidth": 1.1})
        for i, model in enumerate(series.names(rows, "model"))
        for j, variant in enumerate(series.references(rows))
    ]


def _look(model: int, dash: int) -> dict[str, Any]:
    """Choose colour and marker by model, the dash by variant; -1 is solid."""
    return {
        "color": style.COLOURS[model % len(style.COLOURS)],
        "marker": style.MARKERS[model % len(style.MARKERS)],
        "linestyle": "-" if dash < 0 else style.DASHES[dash % len(style.DASHES)],
    }


def _curve(
    axes: Axes,
    rows: Sequence[series.Row],
    model: str,
    variant: str,
    look: Mapping[str, Any],
    shift: float,
) -> None:
    """Draw one method by iteration; a missing iteration leaves a gap, a halt a cross below."""
    found = {
        row["iteration"]: row
        for row in series.path_of(series.whole(rows), model=model, variant=variant)
    }
    for part in series.unbroken(found):
        xs, points = [i + shift for i in part], [found[i]["estimate"] for i in part]
        axes.plot(xs, points, gid=f"{model}/{variant}", zorder=4, **look)
        lows, highs = ([found[i][end] for i in part] for end in ("low", "high"))
        axes.vlines(xs, lows, highs, color=look["color"], linewidth=1.1, alpha=0.75, zorder=3)
    _seeds(axes, rows, model, variant, look, shift)
    for row in series.matching(series.whole(rows), model=model, variant=variant):
        if row["estimate"] is None:
            gid = f"{model}/{variant}/halted"
            style.mark_halt(axes, row["iteration"] + shift, look["color"], gid)


def _seeds(
    axes: Axes,
    rows: Sequence[series.Row],
    model: str,
    variant: str,
    look: Mapping[str, Any],
    shift: float,
) -> None:
    mine = series.matching(rows, model=model, variant=variant)
    several = {row["iteration"] for row in mine if row["seeds"] > 1}
    dots = [row for row in mine if row["seed"] is not None and row["iteration"] in several]
    dots = [row for row in dots if row["estimate"] is not None]
    axes.plot(
        [row["iteration"] + shift + 0.03 for row in dots],
        [row["estimate"] for row in dots],
        gid=f"{model}/{variant}/seeds",
        linestyle="none",
        marker=look["marker"],
        markersize=2.6,
        color=look["color"],
        alpha=0.45,
        markeredgewidth=0,
        zorder=2,
    )


def _level(
    axes: Axes,
    rows: Sequence[series.Row],
    model: str,
    variant: str,
    look: Mapping[str, Any],
    x: float,
) -> None:
    """Draw an SFT variant as a horizontal line that ends in its marker on its interval's box."""
    for row in series.last_of(series.whole(rows), model=model, variant=variant)[-1:]:
        box = [x - 0.4 * _STEP, x + 0.4 * _STEP]
        axes.fill_between(box, row["low"], row["high"], color=look["color"], alpha=0.2, lw=0)
        line = [row["estimate"], row["estimate"]]
        axes.plot([-0.3, x], line, gid=f"{model}/{variant}", markevery=[1], zorder=1.5, **look)


def _legend(rows: Sequence[series.Row]) -> list[Artist]:
    handles: list[Artist] = []
    for model, variant, look in sorted(_curves(rows) + _levels(rows), key=lambda line: line[0]):
        mine = series.matching(rows, model=model, variant=variant)
        if mine:
            halted = all(row["estimate"] is None for row in mine)
            label = f"{model} {variant}{' (halted)' if halted else ''}"
            handles.append(Line2D([], [], label=label, **look))
    if any(row["estimate"] is None for row in rows):
        handles.append(Line2D([], [], label="halted", color=style.INK, **style.HALTED))
    return handles
