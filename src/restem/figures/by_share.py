"""Accuracy by a share that the variants' names end in: of questions (figure 8), of noise."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from restem.errors import RestemError
from restem.figures import series, style
from restem.statistics.evaluation import BASE


@style.house_style()
def draw(
    summary: Sequence[Mapping[str, Any]],
    note: str,
    *,
    prefix: str,
    label: str,
    title: str,
    home: str | None = None,
    quantity: str = "accuracy",
    split: str = "test",
    confidence: float = 0.95,
) -> Figure:
    """Draw one panel per task: a line per model over the numbers behind `prefix`.

    The base model is the dashed level. Raises RestemError when no variant has such a name.
    """
    rows = series.select(summary, [split], quantity)
    tasks, models = series.names(rows, "task", home), series.names(rows, "model")
    figure, panels = style.panels(1, len(tasks))
    for axes, task in zip(panels, tasks, strict=True):
        mine = [row for row in rows if row["task"] == task]
        for place, model in enumerate(models):
            _line(axes, [row for row in mine if row["model"] == model], prefix, place)
        style.label_panel(axes, task, series.sizes(series.whole(mine)))
        style.percent_axis(axes, f"{split} {quantity}")
        axes.set_xlabel(label)
    handles = [
        Line2D([], [], label=model, color=style.COLOURS[i], marker=style.MARKERS[i])
        for i, model in enumerate(models)
    ]
    handles.append(Line2D([], [], label="base model", color=style.INK, linestyle="--"))
    notes = [series.interval_note(confidence), "Small dots: single training seeds."]
    return style.finish(figure, title, note, handles, [*notes, *series.remarks(rows)])


def _line(axes: Axes, rows: Sequence[series.Row], prefix: str, place: int) -> None:
    found = sorted((_share(row, prefix), row) for row in series.whole(rows) if _named(row, prefix))
    if not found:
        raise RestemError(
            f"no variant is called {prefix}<number>", "the summary", "run the experiment's variants"
        )
    colour, shift = style.COLOURS[place], 0.6 * place
    xs = [share + shift for share, _ in found]
    axes.plot(xs, [row["estimate"] for _, row in found], color=colour,
              marker=style.MARKERS[place], gid=found[0][1]["model"], zorder=4)  # fmt: skip
    for x, (_, row) in zip(xs, found, strict=True):
        axes.vlines(x, row["low"], row["high"], color=colour, linewidth=1.1, zorder=3)
    seeds = [r for r in rows if r["seed"] is not None and r["seeds"] and _named(r, prefix)]
    axes.plot([_share(r, prefix) + shift + 1 for r in seeds], [r["estimate"] for r in seeds],
              linestyle="none", marker=".", markersize=3, color=colour, alpha=0.5)  # fmt: skip
    for row in series.matching(series.whole(rows), variant=BASE):
        axes.axhline(row["estimate"], color=colour, linestyle="--", linewidth=0.9)


def _named(row: series.Row, prefix: str) -> bool:
    name = str(row["variant"])
    number = name.removeprefix(prefix)
    return name.startswith(prefix) and number.isdigit() and row["estimate"] is not None


def _share(row: series.Row, prefix: str) -> int:
    return int(str(row["variant"]).removeprefix(prefix))
