"""Accuracy by training compute: does self-training pay, beside SFT on shares of the human data?"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from restem.errors import RestemError
from restem.figures import series, style
from restem.statistics.evaluation import BASE

REFERENCES = "references"  # the name of the line that joins all reference variants


@style.house_style()
def plot(
    summary: Sequence[series.Row],
    label: str,
    *,
    costs: Mapping[str, float],
    train_task: str | None = None,
    references: Collection[str] = (),
    split: str = "test",
    quantity: str = "accuracy",
    title: str = "Accuracy by training compute",
    confidence: float = 0.95,
) -> Figure:
    """Plot one panel per task and model: a line per method, and one through the references.

    costs: FLOPs of one training seed, by policy (model/variant/iteration), with everything that it
    needed: completions, validations and earlier policies. A method's line joins its iterations; the
    references, such as SFT on more and more problems, are one line. The base model is the dashed
    level. Raises RestemError if no policy has a cost.
    """
    rows = series.select(summary, [split], quantity)
    figure, panels = style.task_panels(rows, train_task, in_one_row=True)
    lines = [*series.methods(rows, references), REFERENCES]
    firsts = {panel.task: panel.model for panel in reversed(panels)}
    for panel in panels:
        whole = series.over_seeds(panel.rows)
        points = {line: _points(whole, line, references, costs) for line in lines}
        for place, line in enumerate(lines):
            _plot_line(panel.axes, points[line], place, line)
        for row in series.matching(whole, variant=BASE):
            panel.axes.axhline(row["estimate"], color=style.INK, linestyle="--", linewidth=0.9)
        if not any(points.values()):
            raise RestemError(
                "no policy of the figure has a cost",
                f"the ledger, model {panel.model}",
                "run the evaluations of the experiment first",
            )
        style.label_panel(panel.axes, f"{panel.task} · {panel.model}", series.sizes(whole))
        if panel.model == firsts[panel.task]:  # the others share its axis
            style.percent_axis(panel.axes, f"{split} {series.with_decoding(quantity)}")
        _compute_axis(panel.axes)
    handles = [
        Line2D([], [], label=_named(line, rows, references), **_look(place))
        for place, line in enumerate(lines)
    ]
    handles.append(Line2D([], [], label="base model", color=style.INK, linestyle="--"))
    notes = [
        series.interval_note(confidence),
        "Compute: of one training seed, with completions, validations and earlier policies; "
        "calculated, not measured. Numbers are iterations.",
    ]
    return style.finish(
        figure, title, label, handles, notes + series.remarks(rows, references, last=True)
    )


def _points(
    rows: Sequence[series.Row], line: str, references: Collection[str], costs: Mapping[str, float]
) -> list[tuple[float, series.Row]]:
    """Return the policies of a line with their costs, cheapest first."""
    members = references if line == REFERENCES else [line]
    priced = [
        (costs[name], row)
        for row in rows
        if row["variant"] in members and row["estimate"] is not None
        if costs.get(name := f"{row['model']}/{row['variant']}/{row['iteration']}", 0) > 0
    ]
    return sorted(priced, key=lambda point: point[0])


def _plot_line(
    axes: Axes, points: Sequence[tuple[float, series.Row]], place: int, line: str
) -> None:
    if not points:
        return
    look, xs = _look(place), [x for x, _ in points]
    axes.plot(xs, [row["estimate"] for _, row in points], gid=line, zorder=4, **look)
    for x, row in points:
        axes.vlines(x, row["low"], row["high"], color=look["color"], linewidth=1.1, zorder=3)
        if line != REFERENCES:
            axes.annotate(str(row["iteration"]), (x, row["estimate"]), xytext=(5, -8),
                          textcoords="offset points", fontsize=6, color=look["color"])  # fmt: skip


def _compute_axis(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(_power_of_ten))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("training compute (FLOPs, log scale)")


def _power_of_ten(value: float, _: object) -> str:
    digit, exponent = f"{value:.0e}".split("e")
    power = f"10^{{{int(exponent)}}}"
    return f"${power}$" if digit == "1" else f"${digit} \\times {power}$"


def _look(place: int) -> dict[str, Any]:
    return {
        "color": style.COLOURS[place % len(style.COLOURS)],
        "marker": style.MARKERS[place % len(style.MARKERS)],
    }


def _named(line: str, rows: Sequence[series.Row], references: Collection[str]) -> str:
    if line != REFERENCES:
        return line
    return ", ".join(name for name in series.names(rows, "variant") if name in references)
