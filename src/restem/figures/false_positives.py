"""How many kept solutions are false positives: first tries against rationalised ones (N3)."""

from collections.abc import Mapping, Sequence
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
def draw(
    audit: Sequence[Mapping[str, Any]],
    note: str,
    *,
    home: str | None = None,
    title: str = "False positives among kept solutions",
    confidence: float = 0.95,
) -> Figure:
    """Draw one panel per check, task and model: a point with its interval for every policy.

    Raises RestemError when no rate was estimated.
    """
    rows = [row for row in audit if row["seed"] is None and row["estimate"] is not None]
    if not rows:
        raise RestemError(
            "the audit has nothing to draw", "audit.parquet", "audit a variant that keeps solutions"
        )
    checks, tasks = series.names(rows, "check"), series.names(rows, "task", home)
    models = series.names(rows, "model")
    places = [(task, model) for task in tasks for model in models]
    figure, panels = style.panels(len(checks), len(places), share_y=True)
    addresses = [(check, *place) for check in checks for place in places]
    for axes, (check, task, model) in zip(panels, addresses, strict=True):
        mine = [r for r in rows if (r["check"], r["task"], r["model"]) == (check, task, model)]
        _panel(axes, mine)
        style.label_panel(axes, f"{task} · {model}", f"{check}: {_sizes(mine)}")
        if (task, model) == places[0]:
            style.percent_axis(axes, "rejected")
    handles = [
        Line2D([], [], label=name, linestyle="none", **look) for name, look in _LOOKS.items()
    ]
    bars = f"Bars: {100 * confidence:g} % Wilson intervals, solutions of one problem count as one."
    told = "Rejected: kept, but wrong by the check that is named above a panel."
    return style.finish(figure, title, note, handles, [told, bars])


def _panel(axes: Axes, rows: Sequence[series.Row]) -> None:
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
    """Say how many solutions stand behind the points of a panel."""
    decided = [row["audited"] - row["undecided"] for row in rows]
    if not decided:
        return "nothing to audit"
    low, high = min(decided), max(decided)
    return f"n = {low} solutions" if low == high else f"n = {low}–{high} solutions"
