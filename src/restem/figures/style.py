"""The style that all figures share; the same figure is always saved as the same bytes.

A figure is a grid of panels between a header (title and label) and a footer (legend and
footnotes). Models and variants differ both in colour and in marker or dash, so that they can be
told apart in black and white. The palette is for colour-blind readers (Okabe and Ito 2008).
"""

import io
import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from restem.artifacts.files import write_bytes
from restem.figures import series

COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS: Final = ("o", "s", "^", "D", "v", "P")
DASHES: Final[tuple[Any, ...]] = (
    "--",
    ":",
    "-.",
    (0, (7, 2, 1, 2, 1, 2)),
    (0, (1, 4)),
    (0, (9, 4)),
)
INK: Final = "#222222"
GREY: Final = "#666666"

Look: TypeAlias = Mapping[str, Any]
"""Arguments of matplotlib: colour, marker and so on."""
Marks: TypeAlias = Sequence[Mapping[str, Any]]
"""Published numbers, each with task, value and label."""
Cited: TypeAlias = Mapping[str, Any]
"""Numbers of other publications: a title, and points with label, value, source and perhaps x."""

CITED: Final[Any] = {"color": GREY, "marker": "x", "linestyle": "none", "markersize": 5}
_HALTED: Final[Any] = {"marker": "X", "linestyle": "none", "clip_on": False}
_PANEL: Final = (3.3, 2.7)  # inches, width and height
_MIN_WIDTH: Final = 4.6  # inches, of a figure
_LINE: Final = 0.152  # inches, height of a line of small text
_PAD: Final = 0.12  # inches
_EM: Final = 0.0076  # inches, width of a letter for each point of its size
_METADATA: Final[dict[str, dict[str, Any]]] = {
    "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
}
_RC: Final[Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "text.color": INK,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.6,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "lines.linewidth": 1.6,
    "lines.markersize": 5.5,
    "legend.frameon": False,
    "legend.handlelength": 2.8,
    "savefig.dpi": 200,
    "svg.hashsalt": "restem",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
}


@contextmanager
def house_style() -> Iterator[None]:
    """Apply the shared style, whatever the user's own matplotlib settings are."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_RC)
        yield


def panels(rows: int, columns: int, share_y: bool = False) -> tuple[Figure, list[Axes]]:
    """Create a figure with a grid of panels, listed row by row; each row may share its y axis."""
    figure = Figure(
        figsize=(max(columns * _PANEL[0], _MIN_WIDTH), rows * _PANEL[1]), layout="constrained"
    )
    share: Any = "row" if share_y else False
    grid = figure.subplots(rows, columns, squeeze=False, sharey=share)
    return figure, list(grid.flat)


def wrapped_panels(count: int, columns: int) -> tuple[Figure, list[Axes]]:
    """Create a figure with some panels, as many side by side as columns, or evenly fewer."""
    rows = math.ceil(count / columns)
    figure, grid = panels(rows, math.ceil(count / rows))
    for axes in grid[count:]:
        axes.set_axis_off()
    return figure, grid[:count]


class Panel(NamedTuple):
    """The panel of one task and model, with its rows of estimates."""

    axes: Axes
    task: str
    model: str
    rows: list[series.Row]


def task_panels(
    rows: Sequence[series.Row],
    train_task: str | None,
    in_one_row: bool = False,
    cited: Mapping[str, Cited] | None = None,
    order: Sequence[str] = (),
) -> tuple[Figure, list[Panel]]:
    """Create one panel per task and model, each task in a row of its own that shares its y axis.

    in_one_row: put tasks of a single model each into one row, with their own y axes. cited: by
    task, numbers of other publications, for a last panel with a y axis of its own. order: of the
    tasks, if not by name.
    """
    tasks = sorted(
        series.names(rows, "task", train_task),
        key=lambda task: order.index(task) if task in order else len(order),
    )
    models = {t: series.names([r for r in rows if r["task"] == t], "model") for t in tasks}
    widest = max(map(len, models.values()))
    if in_one_row and widest == 1 and not cited:
        figure, grid = panels(1, len(tasks))
        width = 1
    else:
        width = widest + bool(cited)
        figure, grid = panels(len(tasks), width, share_y=not cited)
    shown = []
    for place, task in enumerate(tasks):
        row = grid[place * width : (place + 1) * width]
        for axes, model in zip(row, models[task], strict=False):
            own = [r for r in rows if (r["task"], r["model"]) == (task, model)]
            shown.append(Panel(axes, task, model, own))
            if cited and axes is not row[0]:
                axes.sharey(row[0])
        empty = row[len(models[task]) :]
        if cited and task in cited:
            _plot_cited(empty.pop(), cited[task])
        for axes in empty:
            axes.set_axis_off()
    return figure, shown


def _plot_cited(axes: Axes, cited: Cited) -> None:
    """Plot numbers of other publications as grey crosses, by size."""
    points = sorted(cited["points"], key=lambda point: (point["value"], point["label"]))
    frame_cited(axes, cited)
    axes.plot(range(len(points)), [p["value"] for p in points], gid="cited", **CITED)
    names = [point["label"] for point in points]
    axes.set_xticks(range(len(points)), names, rotation=35, ha="right")
    axes.tick_params(axis="x", labelsize=6)
    percent_axis(axes, "published accuracy")


def frame_cited(axes: Axes, cited: Cited) -> None:
    """Make a panel of cited numbers look unlike those of results."""
    axes.set_facecolor("#F4F4F4")
    label_panel(axes, cited["title"], "cited, not measured here")


def citations(cited: Mapping[str, Cited]) -> list[str]:
    """Say whose numbers are cited, and where they are from."""
    names: dict[str, list[str]] = {}
    for of_task in cited.values():
        for point in of_task["points"]:
            by_source = names.setdefault(point["source"], [])
            by_source += [point["label"]] if point["label"] not in by_source else []
    return [f"Cited: {', '.join(labels)}: {source}." for source, labels in names.items()]


def label_panel(axes: Axes, title: str, sizes: str) -> None:
    """Write what a panel shows and its sample sizes above it."""
    axes.set_title(title, loc="left", fontsize=9, fontweight="bold", pad=17)
    axes.annotate(
        sizes, (0, 1), (0, 5), "axes fraction", textcoords="offset points", fontsize=7.5, color=GREY
    )


def percent_axis(axes: Axes, label: str) -> None:
    """Show shares as percentages on the y axis, with a margin around the points."""
    axes.set_ylabel(f"{label} (%)")
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(percent())
    axes.margins(y=0.1)


def percent() -> FuncFormatter:
    """Return a formatter that writes shares as percentages."""
    return FuncFormatter(lambda share, _: f"{round(100 * share, 4):g}")


def iteration_axis(axes: Axes, last: int, room: float = 0.3) -> None:
    """Label the iterations on the x axis, with room to the right; iteration 0 is the base model."""
    axes.set_xlabel("iteration")
    axes.set_xlim(-0.3, max(last, 1) + room)
    axes.set_xticks(range(max(last, 1) + 1), ["0\n(base)", *map(str, range(1, max(last, 1) + 1))])


def mark_halt(axes: Axes, x: float, colour: str, gid: str) -> None:
    """Mark a halted policy with a cross at the bottom of the panel."""
    transform = axes.get_xaxis_transform()
    axes.plot([x], [0.04], transform=transform, gid=gid, color=colour, **_HALTED)


def halt_handles(rows: Sequence[series.Row]) -> list[Artist]:
    """Return the legend's entry for the crosses, if some policy halted."""
    halted = any(row["estimate"] is None for row in rows)
    return [Line2D([], [], label="halted", color=INK, **_HALTED)] if halted else []


def curve(
    axes: Axes,
    path: Mapping[int, series.Row],
    look: Look,
    gid: str,
    shift: float,
    zorders: tuple[int, int] = (2, 2),
) -> None:
    """Plot estimates with intervals by iteration; a missing iteration leaves a gap.

    shift: to the right, in iterations; zorders: of the intervals and of the line.
    """
    for run in series.consecutive(path):
        xs, points = [i + shift for i in run], [path[i]["estimate"] for i in run]
        lows, highs = ([path[i][end] for i in run] for end in ("low", "high"))
        bars: Any = {"color": look["color"], "linewidth": 1.1, "alpha": 0.75}
        axes.vlines(xs, lows, highs, **bars, zorder=zorders[0])
        axes.plot(xs, points, gid=gid, zorder=zorders[1], **look)


def variant_look(place: int) -> dict[str, Any]:
    """Return colour and marker of a variant by its place in a list that begins with the base."""
    if place == 0:
        return {"color": INK, "marker": "o", "markerfacecolor": "white"}
    colour = COLOURS[(place - 1) % len(COLOURS)]
    return {"color": colour, "marker": MARKERS[place % len(MARKERS)]}


def plot_marks(axes: Axes, marks: Marks, task: str) -> None:
    """Draw a dotted line with its label for each published number of a task."""
    for mark in marks:
        if mark["task"] == task:
            axes.axhline(mark["value"], color=GREY, linestyle=":", linewidth=0.9, zorder=1)
            axes.annotate(
                mark["label"], (1, mark["value"]), xycoords=("axes fraction", "data"),
                fontsize=6, color=GREY, ha="right", va="bottom",
            )  # fmt: skip


def mark_notes(marks: Marks, unmarked: int) -> list[str]:
    """Say where the marks are from, and that some were left out."""
    notes = []
    if marks:
        notes.append(
            "Dotted: numbers that the paper states of PaLM 2 (config/paper/published.yaml)."
        )
    if unmarked:
        notes.append(
            "The paper's own numbers are of another task than the one here, so they are not drawn."
        )
    return notes


def finish(
    figure: Figure,
    title: str,
    label: str,
    handles: Sequence[Artist],
    footnotes: Sequence[str],
) -> Figure:
    """Add header, legend and footnotes around the panels; the figure grows to fit them."""
    width, height = figure.get_size_inches()
    letters = int((width - 2 * _PAD) / (7.5 * _EM))
    lines = [line for foot in footnotes for line in textwrap.wrap(foot, letters) or [""]]
    columns = _legend_columns(handles, width)
    legend = 0.18 * math.ceil(len(handles) / columns) + _PAD if handles else 0.0
    heading = textwrap.wrap(title, int((width - 2 * _PAD) / (11 * 1.2 * _EM)))
    header = 0.14 + 0.2 * (len(heading) + bool(label)) + _PAD
    footer = legend + _LINE * len(lines) + _PAD
    total = height + header + footer
    figure.set_size_inches(width, total)
    engine: Any = figure.get_layout_engine()
    engine.set(rect=(0, footer / total, 1, height / total), w_pad=0.08, h_pad=0.06)
    left = _PAD / width
    top, bold = 1 - _PAD / total, "\n".join(heading)
    figure.text(left, top, bold, fontsize=11, fontweight="bold", va="top")
    figure.text(
        left, top - (0.06 + 0.2 * len(heading)) / total, label, fontsize=8.5, color=GREY, va="top"
    )
    _add_legend(figure, handles, columns, (left, footer / total))
    place = (footer - legend) / total
    figure.text(left, place, "\n".join(lines), fontsize=7.5, color=GREY, va="top", linespacing=1.4)
    return figure


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write a figure as <stem>.pdf, .svg and .png; equal figures give equal bytes."""
    paths = [stem.with_name(f"{stem.name}.{kind}") for kind in _METADATA]
    for path, (kind, metadata) in zip(paths, _METADATA.items(), strict=True):
        stream = io.BytesIO()
        with house_style():
            figure.savefig(stream, format=kind, metadata=metadata)
        write_bytes(path, stream.getvalue())
    return paths


def _legend_columns(handles: Sequence[Artist], width: float) -> int:
    longest = max((len(str(handle.get_label())) for handle in handles), default=1)
    return max(1, min(len(handles), int(width / (longest * 8 * _EM + 0.55))))


def _add_legend(
    figure: Figure, handles: Sequence[Artist], columns: int, corner: tuple[float, float]
) -> None:
    if handles:
        figure.legend(
            handles=list(handles),
            loc="upper left",
            bbox_to_anchor=corner,
            ncols=columns,
            fontsize=8,
            borderaxespad=0.2,
            columnspacing=1.6,
        )
