"""Policies side by side (figures 1, 6 and 7; majority voting; three times the draws)."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from restem.figures import series, style
from restem.statistics.evaluation import BASE, is_reference


@style.house_style()
def draw(
    summary: Sequence[Mapping[str, Any]],
    note: str,
    *,
    home: str | None = None,
    title: str = "Policies side by side",
    quantity: str = "accuracy",
    split: str = "test",
    last: bool = False,
    confidence: float = 0.95,
    marks: style.Marks = (),
    unmarked: int = 0,
) -> Figure:
    """Draw one panel per task and model: a point with its interval for every policy.

    last: only the last iteration of each variant. Raises RestemError when there is nothing to draw.
    """
    rows = series.select(summary, [split], quantity)
    tasks, models = series.names(rows, "task", home), series.names(rows, "model")
    figure, panels = style.panels(len(tasks), len(models), share_y=True)
    addresses = [(task, model) for task in tasks for model in models]
    for axes, (task, model) in zip(panels, addresses, strict=True):
        mine = [row for row in rows if (row["task"], row["model"]) == (task, model)]
        _panel(axes, mine, last)
        style.draw_marks(axes, marks, task)
        style.label_panel(axes, f"{task} · {model}", series.sizes(series.whole(mine)))
        if model == models[0]:  # the others share its axis
            style.percent_axis(axes, f"{split} {_worded(rows, quantity)}")
    notes = [series.interval_note(confidence), "Small dots: single training seeds."]
    notes += [*style.footnotes(marks, unmarked), *series.remarks(rows)]
    return style.finish(figure, title, note, [], notes)


def _worded(rows: Sequence[series.Row], quantity: str) -> str:
    names = series.names(rows, "quantity")
    return names[-1] if quantity.endswith("@") and names else quantity


def _panel(axes: Axes, rows: Sequence[series.Row], last: bool) -> None:
    shown = [row for row in _policies(series.whole(rows), last) if row["estimate"] is not None]
    for x, row in enumerate(shown):
        look = _look(row["variant"])
        axes.vlines(x, row["low"], row["high"], color=look["color"], linewidth=1.3, zorder=3)
        axes.plot([x], [row["estimate"]], gid=_name(row), zorder=4, **look)
        seeds = [
            one["estimate"] for one in rows
            if one["seed"] is not None and row["seeds"] > 1 and _same(one, row)
        ]  # fmt: skip
        axes.plot([x + 0.15] * len(seeds), seeds, linestyle="none", marker=".", markersize=3,
                  color=style.GREY, zorder=2)  # fmt: skip
    axes.set_xticks(range(len(shown)), [_name(row) for row in shown], rotation=35, ha="right")
    axes.tick_params(axis="x", labelsize=7)
    axes.set_xlim(-0.6, max(len(shown) - 0.4, 0.6))


def _policies(rows: Sequence[series.Row], last: bool) -> list[series.Row]:
    """Order policies: the base, the references, then the others, by iteration and k."""
    found = []
    for variant in sorted(series.names(rows, "variant"), key=_rank):
        mine = series.matching(rows, variant=variant)
        if last and mine:
            mine = [row for row in mine if row["iteration"] == mine[-1]["iteration"]]
        found += mine
    return found


def _rank(variant: str) -> tuple[bool, bool, str]:
    return variant != BASE, not is_reference(variant), variant


def _same(one: series.Row, row: series.Row) -> bool:
    return all(one[key] == row[key] for key in ("variant", "iteration", "quantity", "decoding"))


def _name(row: series.Row) -> str:
    at_k = f", k = {row['k']}" if row["quantity"].startswith("maj@") else ""
    if row["variant"] == BASE:
        return f"base{at_k}"
    return f"{row['variant']} ({row['iteration']}){at_k}"


def _look(variant: str) -> dict[str, Any]:
    if variant == BASE:
        return {"color": style.INK, "marker": "o", "markerfacecolor": "white"}
    if is_reference(variant):
        return {"color": style.COLOURS[1], "marker": "s", "markerfacecolor": "white"}
    return {"color": style.COLOURS[0], "marker": "D"}
