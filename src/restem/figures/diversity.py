"""How many distinct correct solutions k draws give, by the way of sampling."""

from collections.abc import Sequence
from typing import Final

from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from restem.figures import series, style
from restem.statistics.evaluation import BASE

QUANTITY: Final = "distinct@"


@style.house_style()
def plot(
    summary: Sequence[series.Row],
    label: str,
    *,
    train_task: str | None = None,
    split: str = "train",
    decodings: Sequence[str] = (),
    confidence: float = 0.95,
) -> Figure:
    """Plot one panel per task and model: distinct@k times k of the base model, with bands.

    decodings: to compare, one line each; none for all. Raises RestemError if one of them has no
    results.
    """
    of_base = [row for row in summary if row["variant"] == BASE]
    sampled = [row for row in of_base if row["quantity"].startswith(QUANTITY)]
    decodings = decodings or series.names(sampled, "decoding")
    rows = [
        row
        for decoding in decodings
        for row in series.over_seeds(series.select(of_base, [split], QUANTITY, decoding))
    ]
    figure, panels = style.task_panels(rows, train_task, in_one_row=True)
    for panel in panels:
        for place, decoding in enumerate(decodings):
            curve = series.matching(panel.rows, decoding=decoding)
            ks = [row["k"] for row in curve]
            lows, points, highs = (
                [row["k"] * row[e] for row in curve] for e in ("low", "estimate", "high")
            )
            look = style.variant_look(place)
            panel.axes.fill_between(ks, lows, highs, color=look["color"], alpha=0.12, linewidth=0)
            panel.axes.plot(ks, points, gid=decoding, markersize=4.5, **look)
        style.label_panel(panel.axes, f"{panel.task} · {panel.model}", series.sizes(panel.rows))
        panel.axes.set_xlabel("k (completions drawn)")
        panel.axes.set_ylim(bottom=0)
    panels[0].axes.set_ylabel(f"distinct correct solutions of a {split} problem")
    footnotes = [series.interval_note(confidence, "Bands")]
    title = "Distinct correct solutions of the base model, by sampling"
    return style.finish(figure, title, label, _legend(decodings), footnotes)


def _legend(decodings: Sequence[str]) -> list[Artist]:
    return [
        Line2D([], [], label=name, markersize=4.5, **style.variant_look(place))
        for place, name in enumerate(decodings)
    ]
