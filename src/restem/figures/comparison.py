"""Policies side by side (figures 1, 6 and 7; majority voting; three times the draws)."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from restem.figures import series, style
from restem.statistics.evaluation import BASE, MAJORITY


@style.house_style()
def plot(
    summary: Sequence[series.Row],
    label: str,
    *,
    train_task: str | None = None,
    references: Collection[str] = (),
    title: str = "Policies side by side",
    quantity: str = "accuracy",
    split: str = "test",
    last: bool = False,
    confidence: float = 0.95,
    marks: style.Marks = (),
    unmarked: int = 0,
    cited: Mapping[str, style.Cited] | None = None,
) -> Figure:
    """Plot one panel per task and model: a point with its interval for every policy.

    last: only the last iteration of each variant. cited: by task, numbers that others published.
    Raises RestemError if there is nothing to plot.
    """
    rows = series.select(summary, [split], quantity)
    name = series.names(rows, "quantity")[-1] if quantity.endswith("@") else quantity
    figure, panels = style.task_panels(rows, train_task, in_one_row=True, cited=cited)
    firsts = {panel.task: panel.model for panel in reversed(panels)}
    for panel in panels:
        _plot_panel(panel.axes, panel.rows, references, last)
        style.plot_marks(panel.axes, marks, panel.task)
        sizes = series.sizes(series.over_seeds(panel.rows))
        style.label_panel(panel.axes, f"{panel.task} · {panel.model}", sizes)
        if panel.model == firsts[panel.task]:  # the others share its axis
            style.percent_axis(panel.axes, f"{split} {name}")
    notes = [series.interval_note(confidence), "Small dots: single training seeds."]
    notes += [*style.mark_notes(marks, unmarked), *series.remarks(rows, references, last)]
    notes += style.citations(cited or {})
    return style.finish(figure, title, label, [], notes)


def _plot_panel(
    axes: Axes, rows: Sequence[series.Row], references: Collection[str], last: bool
) -> None:
    policies = _policies(series.over_seeds(rows), references, last)
    for x, row in enumerate(policies):
        look = _look(row["variant"], references)
        axes.vlines(x, row["low"], row["high"], color=look["color"], linewidth=1.3, zorder=3)
        axes.plot([x], [row["estimate"]], gid=_name(row), zorder=4, **look)
        same = {key: row[key] for key in ("variant", "iteration", "quantity", "decoding")}
        seeds = [
            run["estimate"] for run in rows
            if run["seed"] is not None and row["seeds"] > 1 and same.items() <= run.items()
        ]  # fmt: skip
        axes.plot([x + 0.15] * len(seeds), seeds, linestyle="none", marker=".", markersize=3,
                  color=style.GREY, zorder=2)  # fmt: skip
    axes.set_xticks(range(len(policies)), [_name(row) for row in policies], rotation=35, ha="right")
    axes.tick_params(axis="x", labelsize=7)
    axes.set_xlim(-0.6, max(len(policies) - 0.4, 0.6))


def _policies(
    rows: Sequence[series.Row], references: Collection[str], last: bool
) -> list[series.Row]:
    """List the estimates: base, references, then the others, by iteration and k."""
    policies = []
    variants = series.names(rows, "variant")
    for variant in sorted(variants, key=lambda name: series.rank(name, references)):
        of_variant = series.matching(rows, variant=variant)
        newest = of_variant[-1]["iteration"]
        policies += [row for row in of_variant if not last or row["iteration"] == newest]
    return [row for row in policies if row["estimate"] is not None]


def _name(row: series.Row) -> str:
    at_k = f", k = {row['k']}" if row["quantity"].startswith(MAJORITY) else ""
    if row["variant"] == BASE:
        return f"base{at_k}"
    return f"{row['variant']} ({row['iteration']}){at_k}"


def _look(variant: str, references: Collection[str]) -> dict[str, Any]:
    if variant == BASE:
        return {"color": style.INK, "marker": "o", "markerfacecolor": "white"}
    if variant in references:
        return {"color": style.COLOURS[1], "marker": "s", "markerfacecolor": "white"}
    return {"color": style.COLOURS[0], "marker": "D"}
