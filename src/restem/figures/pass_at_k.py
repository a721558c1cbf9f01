"""pass@k of base and trained policies (the paper's figure 5): is anything lost at large k?"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, Literal

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullLocator

from restem.figures import series, style
from restem.statistics.evaluation import BASE

QUANTITY: Final = "pass@"


@style.house_style()
def plot(
    summary: Sequence[series.Row],
    label: str,
    *,
    train_task: str | None = None,
    references: Collection[str] = (),
    split: str = "test",
    decoding: str | None = None,
    scale: Literal["log", "linear"] = "log",
    most_k: Mapping[str, int] | None = None,
    order: Sequence[str] = (),
    confidence: float = 0.95,
) -> Figure:
    """Plot one panel per task and model: pass@k of each variant's last policy, with bands.

    decoding: the sampled decoding, required if there are several. scale: of the axis of k. most_k:
    by task, the largest k to show. order: of the tasks. Raises RestemError if the summary has
    nothing to plot.
    """
    sampled = series.select(series.without_exams(summary), [split], QUANTITY, decoding)
    most = most_k or {}
    rows = [r for r in series.over_seeds(sampled) if r["k"] <= most.get(r["task"], r["k"])]
    variants = series.names(rows, "variant", BASE)
    figure, panels = style.task_panels(rows, train_task, in_one_row=True, order=order)
    firsts = {panel.task: panel.model for panel in reversed(panels)}
    for panel in panels:
        _plot_panel(panel.axes, panel.rows, variants, scale)
        title = f"{panel.task} · {panel.model}"
        style.label_panel(panel.axes, title, _sizes(panel.rows))
        if panel.model == firsts[panel.task]:  # the others share its axis
            style.percent_axis(panel.axes, f"{split} pass@k")
    footnotes = [
        series.interval_note(confidence, "Bands"),
        *series.remarks(rows, references, last=True),
    ]
    title = f"{split.capitalize()} pass@k of the base model and of trained policies"
    return style.finish(figure, title, label, _legend(rows, variants), footnotes)


def _sizes(rows: Sequence[series.Row]) -> str:
    draws = max((row["draws"] for row in rows), default=0)
    return f"{series.sizes(rows)}, {draws} draws"


def _look(place: int) -> dict[str, Any]:
    """Choose the look of a variant by its place in the list; the base model comes first."""
    dash = "-" if place == 1 else style.DASHES[max(place - 1, 0) % len(style.DASHES)]
    return style.variant_look(place) | {"linestyle": dash}


def _plot_panel(
    axes: Axes, rows: Sequence[series.Row], variants: Sequence[str], scale: str
) -> None:
    if scale == "log":
        axes.set_xscale("log", base=2)
    for place, variant in enumerate(variants):
        curve = series.last_iteration(rows, variant=variant)
        ks = [row["k"] for row in curve]
        lows, points, highs = ([row[e] for row in curve] for e in ("low", "estimate", "high"))
        look = _look(place)
        axes.fill_between(ks, lows, highs, color=look["color"], alpha=0.12, linewidth=0)
        axes.plot(ks, points, gid=variant, markersize=4.5, **look)
    if scale == "linear":
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set_xlabel("k (completions drawn)")
        return
    ticks = sorted({row["k"] for row in rows if row["estimate"] is not None})
    axes.set_xticks(ticks, [str(k) for k in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("k (completions drawn, log scale)")


def _legend(rows: Sequence[series.Row], variants: Sequence[str]) -> list[Artist]:
    models = series.names(rows, "model")
    handles: list[Artist] = []
    for place, variant in enumerate(variants):
        last = [
            row for m in models for row in series.last_iteration(rows, model=m, variant=variant)
        ]
        text = _name(variant, sorted({row["iteration"] for row in last}))
        handles.append(Line2D([], [], label=text, markersize=4.5, **_look(place)))
    return handles


def _name(variant: str, iterations: Sequence[int]) -> str:
    if variant == BASE:
        return variant
    if not iterations:
        return f"{variant} (halted)"
    return f"{variant}, iteration {' or '.join(map(str, iterations))}"
