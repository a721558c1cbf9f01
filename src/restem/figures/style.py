"""The look that all figures share, and output that is the same bytes every time.

A figure is a block of panels between a header (title and note) and a footer (legend and
footnotes). Models and variants differ in colour and in marker or dash, so that a print in black
and white still tells them apart. The palette is Okabe and Ito's (2008), made for colour blindness.
"""

import io
import math
import os
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

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
HALTED: Final[Any] = {"marker": "X", "linestyle": "none", "clip_on": False}

_PANEL: Final = (3.3, 2.7)  # inches, width and height
_LEAST_WIDTH: Final = 4.6  # inches, of a figure
_LINE: Final = 0.152  # inches, height of a line of small text
_PAD: Final = 0.12
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
    """Apply the shared look, whatever the user's own matplotlib settings are."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_RC)
        yield


def panels(rows: int, columns: int, share_y: bool = False) -> tuple[Figure, list[Axes]]:
    """Open a figure with a grid of panels, listed row by row; rows may share their y axis."""
    figure = Figure(
        figsize=(max(columns * _PANEL[0], _LEAST_WIDTH), rows * _PANEL[1]), layout="constrained"
    )
    share: Any = "row" if share_y else False
    grid = figure.subplots(rows, columns, squeeze=False, sharey=share)
    return figure, list(grid.flat)


def label_panel(axes: Axes, title: str, sizes: str) -> None:
    """Head a panel with what it shows and its sample sizes."""
    axes.set_title(title, loc="left", fontsize=9, fontweight="bold", pad=17)
    axes.annotate(
        sizes, (0, 1), (0, 5), "axes fraction", textcoords="offset points", fontsize=7.5, color=GREY
    )


def percent_axis(axes: Axes, label: str) -> None:
    """Write shares on the y axis as percentages, and give every point some air."""
    axes.set_ylabel(f"{label} (%)")
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{round(100 * share, 4):g}"))
    axes.margins(y=0.1)


def iteration_axis(axes: Axes, last: int, room: float = 0.3) -> None:
    """Mark whole iterations on the x axis, with room to the right; iteration 0 is the base."""
    axes.set_xlabel("iteration")
    axes.set_xlim(-0.3, max(last, 1) + room)
    axes.set_xticks(range(max(last, 1) + 1), ["0\n(base)", *map(str, range(1, max(last, 1) + 1))])


def mark_halt(axes: Axes, x: float, colour: str, gid: str) -> None:
    """Put a cross on the floor of a panel where a policy halted."""
    transform = axes.get_xaxis_transform()
    axes.plot([x], [0.04], transform=transform, gid=gid, color=colour, **HALTED)


def finish(
    figure: Figure,
    title: str,
    note: str,
    handles: Sequence[Artist],
    footnotes: Sequence[str],
) -> Figure:
    """Add header, legend and footnotes around the panels; the figure grows by what they need."""
    width, height = figure.get_size_inches()
    letters = int((width - 2 * _PAD) / (7.5 * _EM))
    lines = [line for foot in footnotes for line in textwrap.wrap(foot, letters) or [""]]
    columns = _legend_columns(handles, width)
    legend = 0.18 * math.ceil(len(handles) / columns) + _PAD if handles else 0.0
    heading = textwrap.wrap(title, int((width - 2 * _PAD) / (11 * 1.2 * _EM)))
    header = 0.14 + 0.2 * (len(heading) + bool(note)) + _PAD
    footer = legend + _LINE * len(lines) + _PAD
    total = height + header + footer
    figure.set_size_inches(width, total)
    engine: Any = figure.get_layout_engine()
    engine.set(rect=(0, footer / total, 1, height / total), w_pad=0.08, h_pad=0.06)
    left = _PAD / width
    top, bold = 1 - _PAD / total, "\n".join(heading)
    figure.text(left, top, bold, fontsize=11, fontweight="bold", va="top")
    figure.text(
        left, top - (0.06 + 0.2 * len(heading)) / total, note, fontsize=8.5, color=GREY, va="top"
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


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file under a temporary name and rename it, so that nobody reads half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(content)
    temporary.replace(path)


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


Marks: TypeAlias = Sequence[Mapping[str, Any]]


def draw_marks(axes: Axes, marks: Marks, task: str) -> None:
    """Draw a dotted line for each number of a task, with its label on the line."""
    for mark in marks:
        if mark["task"] == task:
            axes.axhline(mark["value"], color=GREY, linestyle=":", linewidth=0.9, zorder=1)
            axes.annotate(
                mark["label"], (1, mark["value"]), xycoords=("axes fraction", "data"),
                fontsize=6, color=GREY, ha="right", va="bottom",
            )  # fmt: skip


def footnotes(marks: Marks, unmarked: int) -> list[str]:
    """Say where the marks are from, and that some were left out."""
    told = []
    if marks:
        told.append(
            "Dotted: numbers that the paper states of PaLM 2 (config/paper/published.yaml)."
        )
    if unmarked:
        told.append(
            "The paper's own numbers are of another task than the one here, so they are not drawn."
        )
    return told
