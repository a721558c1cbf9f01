"""Accuracy by a number that differs between variants: of questions (figure 8), share of noise."""

from collections.abc import Collection, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from restem.errors import RestemError
from restem.figures import series, style
from restem.statistics.evaluation import BASE

_SHIFT = 0.006  # of the x axis, between the points of two models


@style.house_style()
def plot(
    summary: Sequence[series.Row],
    label: str,
    *,
    x: Mapping[str, float],
    x_label: str,
    title: str,
    train_task: str | None = None,
    references: Collection[str] = (),
    quantity: str = "accuracy",
    split: str = "test",
    counts: bool = False,
    confidence: float = 0.95,
) -> Figure:
    """Plot one panel per task: a line per model over the numbers of its variants.

    x: the number of each variant: a share, 0 to 1, or with counts a count, which begins at the base
    model with 0. The base model is the dashed level. Raises RestemError if no variant with a number
    has results.
    """
    rows = series.select(summary, [split], quantity)
    tasks, models = series.names(rows, "task", train_task), series.names(rows, "model")
    figure, panels = style.panels(1, len(tasks))
    for axes, task in zip(panels, tasks, strict=True):
        of_task = [row for row in rows if row["task"] == task]
        for place, model in enumerate(models):
            of_model = [row for row in of_task if row["model"] == model]
            _plot_line(axes, of_model, {**x, **({BASE: 0} if counts else {})}, place)
        style.label_panel(axes, task, series.sizes(series.over_seeds(of_task)))
        style.percent_axis(axes, f"{split} {quantity}")
        if counts:
            axes.set_xticks([0, *x.values()], [f"{number:,g}" for number in (0, *x.values())])
        else:
            axes.xaxis.set_major_formatter(style.percent())
        axes.set_xlabel(x_label if counts else f"{x_label} (%)")
    handles = [
        Line2D([], [], label=model, color=style.COLOURS[i], marker=style.MARKERS[i])
        for i, model in enumerate(models)
    ]
    handles.append(Line2D([], [], label="base model", color=style.INK, linestyle="--"))
    notes = [series.interval_note(confidence), "Small dots: single training seeds."]
    notes += series.remarks(rows, references)
    return style.finish(figure, title, label, handles, notes)


def _plot_line(axes: Axes, rows: Sequence[series.Row], x: Mapping[str, float], place: int) -> None:
    shown = [row for row in rows if row["variant"] in x and row["estimate"] is not None]
    points = sorted(series.over_seeds(shown), key=lambda row: x[row["variant"]])
    if all(row["variant"] == BASE for row in points):
        raise RestemError(
            "no variant of the figure has results",
            f"the summary, variants {', '.join(x)}",
            "run the evaluations of the experiment first",
        )
    colour, width = style.COLOURS[place], max(x.values())
    shift = _SHIFT * place * width
    xs = [x[row["variant"]] + shift for row in points]
    axes.plot(xs, [row["estimate"] for row in points], color=colour,
              marker=style.MARKERS[place], gid=points[0]["model"], zorder=4)  # fmt: skip
    for at, row in zip(xs, points, strict=True):
        axes.vlines(at, row["low"], row["high"], color=colour, linewidth=1.1, zorder=3)
    seeds = [row for row in shown if row["seed"] is not None and row["variant"] != BASE]
    places = [x[row["variant"]] + shift + 0.01 * width for row in seeds]
    axes.plot(places, [row["estimate"] for row in seeds],
              linestyle="none", marker=".", markersize=3, color=colour, alpha=0.5)  # fmt: skip
    for row in series.matching(series.over_seeds(rows), variant=BASE):
        axes.axhline(row["estimate"], color=colour, linestyle="--", linewidth=0.9)
