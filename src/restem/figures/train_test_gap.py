"""Train and test accuracy by iteration (the paper's figure 4): does self-training overfit?"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from restem.errors import RestemError
from restem.figures import series, style

SPLITS: Final = ("train", "test")
_LOOKS: Final[tuple[dict[str, Any], ...]] = (
    {"color": style.COLOURS[0], "marker": "o", "linestyle": "-"},
    {"color": style.COLOURS[1], "marker": "s", "linestyle": "--", "markerfacecolor": "white"},
)


@style.house_style()
def draw(
    summary: Sequence[Mapping[str, Any]],
    note: str,
    *,
    quantity: str = "accuracy",
    confidence: float = 0.95,
) -> Figure:
    """Draw one panel per task, model and method that was evaluated on both train and test.

    Raises RestemError when nothing was.
    """
    selected = series.select(summary, SPLITS, quantity)
    rows = series.whole(selected)
    shown = _panels(rows)
    figure, panels = style.panels(-(-len(shown) // 3), min(len(shown), 3))
    for axes, address in zip(panels, shown, strict=False):
        _panel(axes, rows, address)
        mine = series.matching(rows, **address)
        style.label_panel(axes, " · ".join(address.values()), _sizes(mine))
        decoded = "accuracy, greedy" if quantity == "accuracy" else f"{quantity}, sampled"
        style.percent_axis(axes, decoded)
        style.iteration_axis(axes, max(row["iteration"] for row in rows), 0.75)
    for axes in panels[len(shown) :]:
        axes.set_axis_off()
    _share_y(panels, shown)
    drawn = [row for address in shown for row in series.matching(rows, **address)]
    footnotes = [series.interval_note(confidence, "Bars"), *series.remarks(drawn)]
    title = f"Train and test {quantity} by iteration"
    return style.finish(figure, title, note, _legend(drawn), footnotes)


def _legend(drawn: Sequence[series.Row]) -> list[Artist]:
    looks = zip(SPLITS, _LOOKS, strict=True)
    handles: list[Artist] = [Line2D([], [], label=split, **look) for split, look in looks]
    if any(row["estimate"] is None for row in drawn):
        handles.append(Line2D([], [], label="halted", color=style.INK, **style.HALTED))
    return handles


def _panels(rows: Sequence[series.Row]) -> list[dict[str, str]]:
    """List the addresses that have both splits."""
    keys = ("task", "model", "variant")
    loops = series.loops(rows)
    by_split = [
        {tuple(row[key] for key in keys) for row in rows if row["split"] == split}
        for split in SPLITS
    ]
    both = {address for address in by_split[0] & by_split[1] if address[2] in loops}
    if not both:
        raise RestemError(
            "no method was evaluated on both train and test",
            "the summary",
            "add an evaluation on the train split to the study",
        )
    return [dict(zip(keys, address, strict=True)) for address in sorted(both)]


def _sizes(rows: Sequence[series.Row]) -> str:
    counts = {split: [r["problems"] for r in rows if r["split"] == split] for split in SPLITS}
    problems = ", ".join(f"{max(count):,} {split}" for split, count in counts.items())
    seeds = max(row["seeds"] for row in rows)
    return f"n = {problems} problems, {seeds} training seed{'s' if seeds != 1 else ''}"


def _panel(axes: Axes, rows: Sequence[series.Row], address: Mapping[str, str]) -> None:
    paths: list[dict[int, series.Row]] = []
    for split, shift, look in zip(SPLITS, (-0.03, 0.03), _LOOKS, strict=True):
        found = series.path_of(rows, split=split, **address)
        paths.append({row["iteration"]: row for row in found})
        _curve(axes, paths[-1], look, split, shift)
    shared = series.unbroken(paths[0].keys() & paths[1].keys())
    for part in shared:
        train, test = ([path[i]["estimate"] for i in part] for path in paths)
        axes.fill_between(part, train, test, color=style.GREY, alpha=0.08, linewidth=0)
    if shared:
        _name_gap(axes, shared[-1][-1], train[-1], test[-1])
    for row in series.matching(rows, split="test", **address):
        if row["estimate"] is None:
            style.mark_halt(axes, row["iteration"], style.INK, "halted")


def _curve(
    axes: Axes, path: Mapping[int, series.Row], look: Mapping[str, Any], split: str, shift: float
) -> None:
    for part in series.unbroken(path):
        xs, points = [i + shift for i in part], [path[i]["estimate"] for i in part]
        lows, highs = ([path[i][end] for i in part] for end in ("low", "high"))
        axes.vlines(xs, lows, highs, color=look["color"], linewidth=1.1, alpha=0.75)
        axes.plot(xs, points, gid=split, **look)


def _name_gap(axes: Axes, iteration: int, train: float, test: float) -> None:
    axes.annotate(
        f"{100 * (train - test):+.1f}\npoints",
        (iteration, (train + test) / 2),
        (7, 0),
        textcoords="offset points",
        fontsize=7.5,
        color=style.GREY,
        va="center",
        annotation_clip=False,
    )


def _share_y(panels: Sequence[Axes], shown: Sequence[Mapping[str, str]]) -> None:
    """Give the panels of one task one range, so that their heights can be compared."""
    for task in {address["task"] for address in shown}:
        mine = [axes for axes, a in zip(panels, shown, strict=False) if a["task"] == task]
        limits = [axes.get_ylim() for axes in mine]
        for axes in mine:
            axes.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
