"""Base and trained policies in groups of problems: difficulty (figure 8), subject or level."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from restem.errors import RestemError
from restem.figures import series, style
from restem.statistics.evaluation import BASE
from restem.statistics.groups import BINS, MEAN


@style.house_style()
def plot(
    breakdown: Sequence[series.Row],
    label: str,
    *,
    kind: str,
    quantity: str,
    train_task: str | None = None,
    confidence: float = 0.95,
) -> Figure:
    """Plot one panel per task and model: each group's estimate of the base and of the last policy.

    kind: difficulty, subject or level. Raises RestemError if there is no such group.
    """
    rows = [
        row for row in breakdown
        if (row["kind"], row["quantity"], row["reference"], row["seed"])
        == (kind, quantity, None, None)
    ]  # fmt: skip
    if not rows:
        raise RestemError(
            f"there is no {quantity} by {kind}", "the breakdown", "list it in metrics.breakdowns"
        )
    figure, panels = style.task_panels(rows, train_task)
    for panel in panels:
        _plot_panel(panel.axes, panel.rows, kind)
        style.label_panel(panel.axes, f"{panel.task} · {panel.model}", _sizes(panel.rows))
        if panel.model == panels[0].model:  # the others share its axis
            style.percent_axis(panel.axes, f"test {quantity}")
    handles = [Line2D([], [], label=name, **_look(i)) for i, name in enumerate(_variants(rows))]
    notes = [series.interval_note(confidence)]
    if any(row["group"] == MEAN for row in rows):
        notes.append(f"{MEAN}: the mean of the groups, each counting alike (macro average).")
    elif kind == "difficulty":
        notes.append("Bins by the base model's success on draws of their own.")
    return style.finish(figure, f"{quantity} by {kind}", label, handles, notes)


def _sizes(rows: Sequence[series.Row]) -> str:
    counts = {row["group"]: row["problems"] for row in rows if row["group"] != MEAN}
    return f"n = {sum(counts.values())} problems in {len(counts)} groups"


def _groups(rows: Sequence[series.Row], kind: str) -> list[str]:
    present = {str(row["group"]) for row in rows}
    if kind == "difficulty":  # as figure 8 has them; an empty bin keeps its place
        return [name for name, _ in reversed(BINS)]
    return sorted(present, key=lambda name: (name == MEAN, not name.isdigit(), name))


def _variants(rows: Sequence[series.Row]) -> list[str]:
    return series.names(rows, "variant", BASE)


def _plot_panel(axes: Axes, rows: Sequence[series.Row], kind: str) -> None:
    groups, variants = _groups(rows, kind), _variants(rows)
    for place, variant in enumerate(variants):
        of_variant = [row for row in rows if row["variant"] == variant]
        newest = max(row["iteration"] for row in of_variant)
        by_group = {row["group"]: row for row in of_variant if row["iteration"] == newest}
        shift = 0.16 * (place - (len(variants) - 1) / 2)
        for x, group in enumerate(groups):
            row = by_group.get(group)
            if row and row["estimate"] is not None:
                look = _look(place)
                axes.vlines(x + shift, row["low"], row["high"], color=look["color"], linewidth=1.1)
                axes.plot([x + shift], [row["estimate"]], gid=f"{variant}/{group}", **look)
    if MEAN in groups:
        axes.axvline(len(groups) - 1.5, color=style.GREY, linewidth=0.7)
    sizes = {row["group"]: row["problems"] for row in rows}
    labels = [f"{group}\n(n = {sizes.get(group, 0)})" for group in groups]
    turned = len(groups) > 6
    axes.set_xticks(range(len(groups)), labels, rotation=90 if turned else 0)
    axes.tick_params(axis="x", labelsize=5.5 if turned else 7)
    axes.set_xlim(-0.5, len(groups) - 0.5)


def _look(place: int) -> dict[str, Any]:
    return style.variant_look(place) | {"linestyle": "none"}
