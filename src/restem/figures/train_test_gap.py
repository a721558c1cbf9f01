"""Train and test accuracy by iteration (the paper's figure 4): does self-training overfit?"""

from collections.abc import Collection, Mapping, Sequence
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
def plot(
    summary: Sequence[series.Row],
    label: str,
    *,
    references: Collection[str] = (),
    quantity: str = "accuracy",
    confidence: float = 0.95,
) -> Figure:
    """Plot one panel per task, model and method that was evaluated on both train and test.

    Raises RestemError if there is none.
    """
    rows = series.over_seeds(series.select(summary, SPLITS, quantity))
    addresses = _addresses(rows, references)
    figure, panels = style.panels(-(-len(addresses) // 3), min(len(addresses), 3))
    for axes, address in zip(panels, addresses, strict=False):
        _plot_panel(axes, rows, address)
        style.label_panel(
            axes, " · ".join(address.values()), _sizes(series.matching(rows, **address))
        )
        style.percent_axis(axes, series.with_decoding(quantity))
        style.iteration_axis(axes, max(row["iteration"] for row in rows), 0.75)
    for axes in panels[len(addresses) :]:
        axes.set_axis_off()
    _share_y(panels, addresses)
    shown = [row for address in addresses for row in series.matching(rows, **address)]
    looks = zip(SPLITS, _LOOKS, strict=True)
    handles: list[Artist] = [Line2D([], [], label=split, **look) for split, look in looks]
    handles += style.halt_handles(shown)
    footnotes = [series.interval_note(confidence), *series.remarks(shown, references)]
    return style.finish(
        figure, f"Train and test {quantity} by iteration", label, handles, footnotes
    )


def _addresses(rows: Sequence[series.Row], references: Collection[str]) -> list[dict[str, str]]:
    """List task, model and variant of the methods that have both splits."""
    keys = ("task", "model", "variant")
    methods = series.methods(rows, references)
    train, test = (
        {tuple(row[key] for key in keys) for row in rows if row["split"] == split}
        for split in SPLITS
    )
    both = {address for address in train & test if address[2] in methods}
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


def _plot_panel(axes: Axes, rows: Sequence[series.Row], address: Mapping[str, str]) -> None:
    paths: list[dict[int, series.Row]] = []
    for split, shift, look in zip(SPLITS, (-0.03, 0.03), _LOOKS, strict=True):
        paths.append(series.by_iteration(rows, split=split, **address))
        style.curve(axes, paths[-1], look, split, shift)
    shared = series.consecutive(paths[0].keys() & paths[1].keys())
    for run in shared:
        train, test = ([path[i]["estimate"] for i in run] for path in paths)
        axes.fill_between(run, train, test, color=style.GREY, alpha=0.08, linewidth=0)
    if shared:
        _label_gap(axes, shared[-1][-1], train[-1], test[-1])
    for row in series.matching(rows, split="test", **address):
        if row["estimate"] is None:
            style.mark_halt(axes, row["iteration"], style.INK, "halted")


def _label_gap(axes: Axes, iteration: int, train: float, test: float) -> None:
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


def _share_y(panels: Sequence[Axes], addresses: Sequence[Mapping[str, str]]) -> None:
    """Give the panels of one task the same range, so that their heights can be compared."""
    for task in {address["task"] for address in addresses}:
        of_task = [axes for axes, a in zip(panels, addresses, strict=False) if a["task"] == task]
        limits = [axes.get_ylim() for axes in of_task]
        for axes in of_task:
            axes.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
