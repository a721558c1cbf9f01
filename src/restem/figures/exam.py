"""Exam score, given by a human, against the accuracy on a benchmark (the paper's figure 10)."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from restem.errors import RestemError
from restem.figures import series, style
from restem.statistics.evaluation import BASE, SCORE

_SPANS: Final = ((0.2, 0.7), (0.3, 0.9))  # of the paper's axes; wider where a policy needs it
_MARGIN: Final = 0.03
_LABEL: Final = (0.15, 0.03)  # width and height that the name of a point takes
_SCORES: Final = {
    True: "points that a human gave, of all that the rubric gives",
    False: "share of right answers by the verifier; no human graded them",
}

Address = tuple[str, str, int]
"""Model, variant, iteration."""


@style.house_style()
def plot(
    summary: Sequence[series.Row],
    label: str,
    *,
    exam: str,
    against: str,
    title: str = "Exam score and accuracy",
    confidence: float = 0.95,
    cited: Mapping[str, style.Cited] | None = None,
) -> Figure:
    """Plot a point with both intervals for every policy that was graded.

    exam, against: the tasks on the x axis, by score, and on the y axis, by accuracy. Policies that
    no human has graded yet are named. The score of an exam with a verifier is the share of correct
    answers. cited: numbers that others published, by exam, for a panel of their own. Raises
    RestemError if no policy has an accuracy.
    """
    rows = series.over_seeds(row for row in summary if row["split"] == "test")
    graded = series.matching(rows, task=exam)
    by_human = not graded or any(row["quantity"] == SCORE for row in graded)
    quantities = (SCORE,) if by_human else ("accuracy", "pass@1")
    xs = _last([row for row in graded if row["quantity"] in quantities])
    ys = _last(series.matching(rows, task=against, quantity="accuracy"))
    if not ys:
        raise RestemError(
            f"no policy has an accuracy on {against}", "the summary", "run the evaluations first"
        )
    models = series.names(ys.values(), "model")
    both = sorted(xs.keys() & ys.keys(), key=_rank)
    others = (cited or {}).get(exam)
    figure, [axes, *beside] = style.panels(1, 2 if others else 1)
    for address in both:
        _plot_point(axes, xs[address], ys[address], models.index(address[0]))
    if not both:
        axes.text(
            0.5, 0.5, "nothing is graded yet", transform=axes.transAxes, ha="center",
            color=style.GREY,
        )  # fmt: skip
    _set_limits(axes, [(xs[address], ys[address]) for address in both])
    style.label_panel(axes, f"{exam} · {against}", series.sizes(xs.values()))
    _name_axes(axes, f"{exam} exam score", f"{against} accuracy")
    if others:
        _plot_cited(beside[0], others)
    notes = [
        series.interval_note(confidence),
        f"Exam score: {_SCORES[by_human]}.",
        f"{against}: {series.sizes(ys.values())}.",
        *_not_graded(ys, xs),
        *series.halts(rows),
        *style.citations({exam: others} if others else {}),
    ]
    return style.finish(figure, title, label, _handles(models), notes)


def _name_axes(axes: Axes, x: str, y: str) -> None:
    style.percent_axis(axes, y)
    axes.xaxis.set_major_formatter(style.percent())
    axes.set_xlabel(f"{x} (%)")


def _plot_cited(axes: Axes, cited: style.Cited) -> None:
    """Plot numbers of other publications in the paper's range."""
    points = cited["points"]
    style.frame_cited(axes, cited)
    axes.plot([p["x"] for p in points], [p["value"] for p in points], gid="cited", **style.CITED)
    for point in points:
        side, offset = ("right", -5) if point["x"] > 0.5 else ("left", 5)  # inside the panel
        crowded = any(_runs_into(other, point) for other in points)
        axes.annotate(
            point["label"], (point["x"], point["value"]), (offset, -9 if crowded else 2),
            textcoords="offset points", fontsize=6, color=style.GREY, ha=side,
        )  # fmt: skip
    for i, (least, most) in enumerate(_SPANS):
        values = [point["value" if i else "x"] for point in points]
        ends = min([least, *values]) - _MARGIN, max([most, *values]) + _MARGIN
        (axes.set_ylim if i else axes.set_xlim)(*ends)
    _name_axes(axes, "published exam score", "published GSM8K accuracy")


def _runs_into(left: Mapping[str, Any], right: Mapping[str, Any]) -> bool:
    """Tell whether the name beside a point would reach that of another one."""
    across, up = right["x"] - left["x"], right["value"] - left["value"]
    return bool(0 < across < _LABEL[0] and abs(up) < _LABEL[1])


def _last(rows: Sequence[series.Row]) -> dict[Address, series.Row]:
    """Return the estimates of the last iteration of every model's variants."""
    last: dict[tuple[str, str], series.Row] = {}
    for row in rows:  # by iteration
        if row["estimate"] is not None:
            last[row["model"], row["variant"]] = row
    return {(*name, row["iteration"]): row for name, row in last.items()}


def _rank(address: Address) -> tuple[str, bool, str, int]:
    model, variant, iteration = address
    return model, variant != BASE, variant, iteration


def _name(address: Address) -> str:
    model, variant, iteration = address
    return f"{model} base" if variant == BASE else f"{model} {variant} ({iteration})"


def _plot_point(axes: Axes, x: series.Row, y: series.Row, place: int) -> None:
    colour, name = style.COLOURS[place], _name((x["model"], x["variant"], x["iteration"]))
    at_x, at_y = x["estimate"], y["estimate"]
    axes.hlines(at_y, x["low"], x["high"], color=colour, linewidth=1.1, zorder=3)
    axes.vlines(at_x, y["low"], y["high"], color=colour, linewidth=1.1, zorder=3)
    face = "white" if x["variant"] == BASE else colour
    axes.plot([at_x], [at_y], gid=name, color=colour, marker=style.MARKERS[place],
              markerfacecolor=face, linestyle="none", zorder=4)  # fmt: skip
    offset = 4 if x["variant"] == BASE else -10  # so that a base and its policy do not overlap
    axes.annotate(name, (at_x, at_y), (5, offset), textcoords="offset points", fontsize=7, zorder=5)


def _set_limits(axes: Axes, points: Sequence[tuple[series.Row, series.Row]]) -> None:
    """Show the paper's range on both axes, and more where an interval reaches further."""
    for i, (least, most) in enumerate(_SPANS):
        low = min([least, *(pair[i]["low"] - _MARGIN for pair in points)])
        high = max([most, *(pair[i]["high"] + _MARGIN for pair in points)])
        (axes.set_ylim if i else axes.set_xlim)(max(low, -_MARGIN), min(high, 1 + _MARGIN))


def _not_graded(ys: Mapping[Address, series.Row], xs: Mapping[Address, series.Row]) -> list[str]:
    names = ", ".join(_name(address) for address in sorted(ys.keys() - xs.keys(), key=_rank))
    return [f"Not graded yet: {names}."] if names else []


def _handles(models: Sequence[str]) -> list[Line2D]:
    handles = [
        Line2D([], [], label=model, color=style.COLOURS[i], marker=style.MARKERS[i], linestyle="")
        for i, model in enumerate(models)
    ]
    handles.append(
        Line2D([], [], label="base model: open", color=style.GREY, marker="o",
               markerfacecolor="white", linestyle="")
    )  # fmt: skip
    return handles
