"""False positives among kept solutions: first tries against rationalised ones (N3)."""

from collections.abc import Sequence
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from restem.errors import RestemError
from restem.figures import series, style

_LOOKS: Final[dict[str, dict[str, Any]]] = {
    "first try": {"color": style.COLOURS[0], "marker": "o", "markerfacecolor": "white"},
    "rationalised": {"color": style.COLOURS[1], "marker": "s"},
}


@style.house_style()
def plot(
    rates: Sequence[series.Row],
    label: str,
    *,
    train_task: str | None = None,
    title: str = "False positives among kept solutions",
    confidence: float = 0.95,
) -> Figure:
    """Plot one panel per check, task and model: a point with its interval for every policy.

    Raises RestemError if no rate was estimated.
    """
    rows = [row for row in rates if row["seed"] is None and row["estimate"] is not None]
    if not rows:
        raise RestemError(
            "there is no rate of false positives to plot",
            "false_positives.parquet",
            "train a variant that keeps solutions of a model",
        )
    checks, tasks = series.names(rows, "check"), series.names(rows, "task", train_task)
    places = [(task, model) for task in tasks for model in series.names(rows, "model")]
    addresses = [(check, *place) for check in checks for place in places]
    figure, panels = style.panels(len(checks), len(places), share_y=True)
    for axes, (check, task, model) in zip(panels, addresses, strict=True):
        shown = [r for r in rows if (r["check"], r["task"], r["model"]) == (check, task, model)]
        _plot_panel(axes, shown)
        style.label_panel(axes, f"{task} · {model}", f"{check}: {_sizes(shown)}")
        if (task, model) == places[0]:
            style.percent_axis(axes, "rejected")
    handles = [
        Line2D([], [], label=name, linestyle="none", **look) for name, look in _LOOKS.items()
    ]
    notes = [
        "Rejected: kept, but wrong by the check that is named above a panel.",
        f"Bars: {100 * confidence:g} % Wilson intervals, solutions of one problem count as one.",
    ]
    return style.finish(figure, title, label, handles, notes)


def _plot_panel(axes: Axes, rows: Sequence[series.Row]) -> None:
    policies = sorted({(row["variant"], row["iteration"]) for row in rows})
    for row in rows:
        shift = 0.12 if row["origin"] == "rationalised" else -0.12
        x, look = policies.index((row["variant"], row["iteration"])) + shift, _LOOKS[row["origin"]]
        axes.vlines(x, row["low"], row["high"], color=look["color"], linewidth=1.1, zorder=3)
        name = f"{row['check']}/{row['variant']}/{row['iteration']}/{row['origin']}"
        axes.plot([x], [row["estimate"]], gid=name, linestyle="none", zorder=4, **look)
    labels = [f"{variant} ({iteration})" for variant, iteration in policies]
    axes.set_xticks(range(len(policies)), labels, rotation=35, ha="right")
    axes.tick_params(axis="x", labelsize=7)
    axes.set_xlim(-0.6, max(len(policies) - 0.4, 0.6))


def _sizes(rows: Sequence[series.Row]) -> str:
    """Describe how many solutions the points of a panel are based on."""
    decided = [row["checked"] - row["undecided"] for row in rows]
    if not decided:
        return "no solutions"
    low, high = min(decided), max(decided)
    return f"n = {low} solutions" if low == high else f"n = {low}–{high} solutions"
