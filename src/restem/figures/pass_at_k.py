"""pass@k of base and trained policies (the paper's figure 5): is anything lost at large k?"""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from restem.figures import series, style
from restem.statistics.evaluation import BASE


@style.house_style()
def draw(
    summary: Sequence[Mapping[str, Any]],
    note: str,
    *,
    home: str | None = None,
    split: str = "test",
    decoding: str | None = None,
    confidence: float = 0.95,
) -> Figure:
    """Draw one panel per task and model: pass@k of each variant's last policy, with bands.

    decoding: which sampled decoding, needed when there are several. Raises RestemError when the
    summary has nothing to draw.
    """
    rows = series.whole(series.select(series.without_exams(summary), [split], "pass@", decoding))
    tasks, models = series.names(rows, "task", home), series.names(rows, "model")
    figure, panels = _grid(len(tasks), len(models))
    addresses = [(task, model) for task in tasks for model in models]
    for axes, (task, model) in zip(panels, addresses, strict=True):
        mine = [row for row in rows if row["task"] == task and row["model"] == model]
        _panel(axes, mine, _variants(rows))
        style.label_panel(axes, f"{task} · {model}", _sizes(mine))
        if model == models[0]:  # the others share its axis
            style.percent_axis(axes, f"{split} pass@k")
    footnotes = [series.interval_note(confidence, "Bands"), *series.remarks(rows)]
    title = f"{split.capitalize()} pass@k of the base model and of trained policies"
    return style.finish(figure, title, note, _legend(rows), footnotes)


def _grid(tasks: int, models: int) -> tuple[Figure, list[Axes]]:
    """Give each task a row, and its models one y axis; with one model the tasks share a row."""
    if models == 1:
        return style.panels(1, tasks)
    return style.panels(tasks, models, share_y=True)


def _variants(rows: Sequence[series.Row]) -> list[str]:
    return series.names(rows, "variant", BASE)


def _sizes(rows: Sequence[series.Row]) -> str:
    draws = max((row["draws"] for row in rows), default=0)
    return f"{series.sizes(rows)}, {draws} draws"


def _look(place: int) -> dict[str, Any]:
    """Choose the look of a variant by its place in the list; the base model comes first."""
    if place == 0:
        return {"color": style.INK, "marker": "o", "linestyle": "--", "markerfacecolor": "white"}
    index = (place - 1) % len(style.COLOURS)
    dash = "-" if place == 1 else style.DASHES[(place - 1) % len(style.DASHES)]
    marker = style.MARKERS[place % len(style.MARKERS)]
    return {"color": style.COLOURS[index], "marker": marker, "linestyle": dash}


def _panel(axes: Axes, rows: Sequence[series.Row], variants: Sequence[str]) -> None:
    axes.set_xscale("log", base=2)
    ticks = sorted({row["k"] for row in rows if row["estimate"] is not None})
    for place, variant in enumerate(variants):
        curve = series.last_of(rows, variant=variant)
        ks = [row["k"] for row in curve]
        lows, points, highs = ([row[e] for row in curve] for e in ("low", "estimate", "high"))
        look = _look(place)
        axes.fill_between(ks, lows, highs, color=look["color"], alpha=0.12, linewidth=0)
        axes.plot(ks, points, gid=variant, markersize=4.5, **look)
    axes.set_xticks(ticks, [str(k) for k in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("k (completions drawn, log scale)")


def _legend(rows: Sequence[series.Row]) -> list[Artist]:
    handles: list[Artist] = []
    for place, variant in enumerate(_variants(rows)):
        models = series.names(rows, "model")
        drawn = [row for m in models for row in series.last_of(rows, model=m, variant=variant)]
        handles.append(Line2D([], [], label=_label(variant, drawn), markersize=4.5, **_look(place)))
    return handles


def _label(variant: str, drawn: Sequence[series.Row]) -> str:
    if variant == BASE:
        return variant
    iterations = sorted({row["iteration"] for row in drawn})
    if not iterations:
        return f"{variant} (halted)"
    return f"{variant}, iteration {' or '.join(map(str, iterations))}"
