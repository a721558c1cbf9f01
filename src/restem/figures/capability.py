"""General capability by task, and averaged over tasks for each prompt (the paper's figure 9)."""

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any, Final

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from restem.errors import RestemError
from restem.figures import series, style
from restem.statistics.evaluation import BASE
from restem.statistics.groups import MEAN

KIND: Final = "subject"
_TASK_WIDTH: Final = 0.4  # inches, of the points of one task
_AVERAGES_WIDTH: Final = 2.6  # inches
_HEIGHTS: Final = (3.0, 4.4)  # inches, of a panel; with many tasks their names need room
_MANY: Final = 4  # tasks whose names fit side by side
_LEAST_WIDTH: Final = 3.3  # inches
_STEP: Final = 0.22  # between the policies of one task
_SPREAD: Final[Any] = {"color": "black", "linewidth": 2.2, "zorder": 5}

Place = tuple[str, str]
"""Evaluated task, group."""


@style.house_style()
def plot(
    breakdown: Sequence[series.Row],
    label: str,
    *,
    by_task: str,
    averages: Mapping[str, str],
    quantity: str = "accuracy",
    confidence: float = 0.95,
    kept: Mapping[str, Sequence[str]] | None = None,
) -> Figure:
    """Plot, for each model, its policies on each task, and their averages over tasks.

    by_task: the benchmark whose tasks (subjects) are shown. averages: benchmarks by the name of
    their prompt. A point is a variant's last iteration. A black line is the mean of its checkpoints
    plus and minus their standard deviation. kept: what was asked for, to name what has no results.
    Raises RestemError if there is no such benchmark.
    """
    wanted = (KIND, quantity, None)
    rows = [r for r in breakdown if (r["kind"], r["quantity"], r["reference"]) == wanted]
    subjects = sorted({r["group"] for r in rows if r["task"] == by_task} - {MEAN})
    if not subjects:
        raise RestemError(
            f"there is no {quantity} of {by_task} by {KIND}",
            "the breakdown",
            "evaluate it, and list subject in metrics.breakdowns",
        )
    models, variants = series.names(rows, "model"), series.names(rows, "variant", BASE)
    figure, grid = _panels(len(models), len(subjects))
    for (left, right), model in zip(grid, models, strict=True):
        own = [row for row in rows if row["model"] == model]
        _plot_places(left, own, variants, {(by_task, name): name for name in subjects})
        if len(subjects) > _MANY:
            left.set_xticks(range(len(subjects)), map(_words, subjects), rotation=50, ha="right")
        left.tick_params(axis="x", labelsize=7)
        style.label_panel(left, f"{by_task} \u00b7 {model}", _sizes(own, by_task))
        style.percent_axis(left, f"test {quantity}")
        means = {(task, MEAN): prompt for prompt, task in averages.items()}
        _plot_places(right, own, variants, means)
        style.label_panel(right, f"average \u00b7 {model}", "every task counts the same")
        style.percent_axis(right, f"mean test {quantity}")
    notes = [
        f"{series.interval_note(confidence, 'Coloured bars')} Points: the last iteration.",
        "Black bars: mean and standard deviation over checkpoints, all iterations and seeds.",
        *(
            f"No results of {name}."
            for name in (kept or {}).get("variant", ())
            if name not in variants
        ),
    ]
    return style.finish(
        figure, f"General capability: {quantity} by task", label, _handles(variants), notes
    )


def _panels(models: int, subjects: int) -> tuple[Figure, list[tuple[Axes, Axes]]]:
    widths = [max(_LEAST_WIDTH, _TASK_WIDTH * subjects + 0.6), _AVERAGES_WIDTH]
    height = models * _HEIGHTS[subjects > _MANY]
    figure = Figure(figsize=(sum(widths), height), layout="constrained")
    grid = figure.subplots(models, 2, squeeze=False, width_ratios=widths)
    return figure, [(left, right) for left, right in grid]


def _words(subject: str) -> str:
    return subject.replace("_", " ")


def _sizes(rows: Sequence[series.Row], task: str) -> str:
    counts = {r["group"]: r["problems"] for r in rows if r["task"] == task and r["group"] != MEAN}
    seeds = max((r["seeds"] for r in rows if r["variant"] != BASE), default=1)
    plural = "s" if seeds > 1 else ""
    problems = f"{sum(counts.values()):,} problems in {len(counts)} tasks"
    return f"n = {problems}, {seeds} training seed{plural}"


def _plot_places(
    axes: Axes,
    rows: Sequence[series.Row],
    variants: Sequence[str],
    places: Mapping[Place, str],
) -> None:
    for x, (task, group) in enumerate(places):
        here = [row for row in rows if (row["task"], row["group"]) == (task, group)]
        for place, variant in enumerate(variants):
            at = x + _STEP * (place - (len(variants) - 1) / 2)
            own = [r for r in here if r["variant"] == variant and r["estimate"] is not None]
            _plot_policy(axes, own, at, f"{task}/{group}/{variant}", style.variant_look(place))
    axes.set_xticks(range(len(places)), list(places.values()))
    axes.set_xlim(-0.6, len(places) - 0.4)


def _plot_policy(
    axes: Axes, rows: Sequence[series.Row], x: float, name: str, look: style.Look
) -> None:
    """Plot the last iteration with its interval, and the spread of all checkpoints beside it."""
    newest = max((row["iteration"] for row in rows), default=0)
    for row in [r for r in series.over_seeds(rows) if r["iteration"] == newest]:
        axes.vlines(x, row["low"], row["high"], color=look["color"], linewidth=1.1, zorder=3)
        axes.plot([x], [row["estimate"]], gid=name, linestyle="none", markersize=4, zorder=4,
                  **look)  # fmt: skip
    checkpoints = [r["estimate"] for r in rows if r["seed"] is not None and r["variant"] != BASE]
    if len(checkpoints) > 1:
        mean, spread = fmean(checkpoints), stdev(checkpoints)
        axes.plot([x + 0.08] * 2, [mean - spread, mean + spread], gid=f"{name}/spread", **_SPREAD)


def _handles(variants: Sequence[str]) -> list[Artist]:
    handles: list[Artist] = [
        Line2D([], [], label=name, linestyle="none", **style.variant_look(place))
        for place, name in enumerate(variants)
    ]
    return [*handles, Line2D([], [], label="spread of checkpoints", color="black", linewidth=2.2)]
