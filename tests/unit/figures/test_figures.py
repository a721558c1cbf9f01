"""Check that figures show the summary's numbers, the same bytes each time, and what is missing."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from restem.errors import RestemError
from restem.figures import accuracy_by_iteration, comparison, pass_at_k, style, train_test_gap
from tests.unit.summaries import REFERENCES

Row = dict[str, Any]
LABEL = "embedded model"
accuracy = partial(accuracy_by_iteration.plot, references=REFERENCES)
gap = partial(train_test_gap.plot, references=REFERENCES)
curves = partial(pass_at_k.plot, references=REFERENCES)
FIGURES: list[Callable[..., Figure]] = [accuracy, gap, curves]
REDRAW = """
import json, sys
from pathlib import Path
from restem.figures import accuracy_by_iteration, comparison, pass_at_k, style, train_test_gap
summary = json.loads(Path(sys.argv[1]).read_text())
for module in (accuracy_by_iteration, pass_at_k, train_test_gap):
    style.save(module.plot(summary, "embedded model"), Path(sys.argv[2]) / module.__name__)
"""


def ys(figure: Figure, gid: str) -> list[float]:
    """Return the heights of all lines with a gid, in the order of plotting."""
    lines: list[Any] = [line for axes in figure.axes for line in axes.lines]
    return [float(y) for line in lines if line.get_gid() == gid for y in line.get_ydata()]


def estimates(summary: list[Row], **wanted: Any) -> list[float]:
    rows = [row for row in summary if all(row[k] == v for k, v in wanted.items())]
    return [row["estimate"] for row in rows]


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.texts)


def axes_text(axes: Axes) -> str:
    return "\n".join(text.get_text() for text in axes.texts)


def test_accuracy_by_iteration_shows_the_summary(summary: list[Row]) -> None:
    figure = accuracy(summary, LABEL, train_task="sums")
    for model in ("S", "L"):
        curve, level = [], []
        for task in ("sums", "clocks"):
            where = {"task": task, "split": "test", "model": model, "decoding": "greedy"}
            curve += estimates(summary, variant="base", seed=None, **where)
            curve += estimates(summary, variant="rest-em", seed=None, **where)
            level += 2 * estimates(summary, variant="sft-terse", seed=None, **where)
        assert ys(figure, f"{model}/rest-em") == curve
        assert ys(figure, f"{model}/sft-terse") == level


def test_accuracy_by_iteration_shows_the_intervals_and_the_seeds(summary: list[Row]) -> None:
    figure = accuracy(summary, LABEL, train_task="sums")
    bars = {
        (float(path[0, 1]), float(path[1, 1]))
        for item in figure.axes[0].collections
        if isinstance(item, LineCollection)
        for path in item.get_segments()
    }
    where = {"task": "sums", "split": "test", "decoding": "greedy"}
    rows = [row for row in summary if all(row[k] == v for k, v in where.items())]
    curves = [row for row in rows if row["variant"] in ("base", "rest-em")]
    assert bars == {(row["low"], row["high"]) for row in curves if row["seed"] is None}
    dots = [
        row["estimate"] for row in curves if row["variant"] == "rest-em" and row["model"] == "S"
    ]
    assert set(ys(figure, "S/rest-em/seeds")) >= set(dots) - set(ys(figure, "S/rest-em"))


def test_a_panel_shows_the_variants_that_were_measured_there(summary: list[Row]) -> None:
    """The base model is in every panel, and would stand there for a variant that is not."""
    kept = [r for r in summary if r["variant"] != "rest-em" or r["task"] == "sums"]
    figure = accuracy(kept, LABEL, train_task="sums")
    trained, transfer = ({line.get_gid() for line in axes.lines} for axes in figure.axes)
    assert {"S/rest-em", "L/rest-em"} <= trained
    assert not {"S/rest-em", "L/rest-em"} & transfer


def test_variants_of_one_model_differ_in_colour_and_marker(summary: list[Row]) -> None:
    """There are more of them than colours."""
    one = [r for r in summary if r["model"] == "S"]
    trained = [r for r in one if r["variant"] == "rest-em"]
    more = [{**row, "variant": f"v{n}"} for n in range(9) for row in trained]
    figure = accuracy([*one, *more], LABEL, train_task="sums")
    looks = [
        (line.get_color(), line.get_marker())
        for line in figure.axes[0].lines
        if str(line.get_gid()).count("/") == 1
    ]
    assert len(set(looks)) == len(looks) >= 11


@pytest.mark.parametrize(("count", "shape"), [(1, (1, 1)), (3, (1, 3)), (4, (2, 2)), (7, (3, 3))])
def test_panels_wrap(count: int, shape: tuple[int, int]) -> None:
    figure, panels = style.wrapped_panels(count, 3)
    assert len(panels) == count
    assert panels[0].get_subplotspec().get_gridspec().get_geometry() == shape
    assert [axes.axison for axes in figure.axes] == [i < count for i in range(len(figure.axes))]


def test_train_test_gap_shows_the_summary(summary: list[Row]) -> None:
    figure = gap(summary, LABEL)
    for split in ("train", "test"):
        expected: list[float] = []
        for model in ("L", "S"):
            where = {"task": "sums", "model": model, "split": split, "decoding": "greedy"}
            expected += estimates(summary, variant="base", seed=None, **where)
            expected += estimates(summary, variant="rest-em", seed=None, **where)
        assert ys(figure, split) == expected


def test_pass_at_k_shows_the_last_policies(summary: list[Row]) -> None:
    figure = curves(summary, LABEL, train_task="sums")
    for variant, last in (("base", 0), ("rest-em", 3), ("sft-careful", 1)):
        expected: list[float] = []
        for task in ("sums", "clocks"):
            for model in ("L", "S"):
                where = {"task": task, "model": model, "variant": variant, "iteration": last}
                expected += estimates(summary, decoding="sampled", seed=None, **where)
        assert ys(figure, variant) == expected
    ticks = [tick.get_text() for tick in figure.axes[0].get_xticklabels()]
    assert ticks == ["1", "2", "4", "8", "16", "32"]


def test_a_reference_is_what_the_settings_name_whatever_it_is_called(summary: list[Row]) -> None:
    names = {"sft-terse": "human", "sft-careful": "sft-only-by-name"}
    rows = [row | {"variant": names.get(row["variant"], row["variant"])} for row in summary]
    figure = accuracy_by_iteration.plot(rows, LABEL, references=["human"])
    level, curve = (ys(figure, f"S/{name}")[:2] for name in names.values())
    assert level[0] == level[1]  # a horizontal line
    assert curve[0] != curve[1]  # from the base model to iteration 1
    axes = train_test_gap.plot(rows, LABEL, references=["human"]).axes
    panels = [panel.get_title(loc="left") for panel in axes]
    assert any("sft-only-by-name" in title for title in panels)
    assert not any("human" in title for title in panels)


def test_one_model_and_no_method_are_enough(summary: list[Row]) -> None:
    base = [row for row in summary if row["model"] == "S" and row["variant"] == "base"]
    figure = accuracy(base, LABEL)
    assert len(ys(figure, "S/base")) == 2
    assert len(curves(base, LABEL).axes) == 2


@pytest.mark.parametrize("plot", FIGURES)
def test_the_label_and_the_sample_sizes_are_on_every_figure(
    plot: Callable[..., Figure], summary: list[Row]
) -> None:
    figure = plot(summary, LABEL)
    assert LABEL in texts(figure)
    panels = [axes for axes in figure.axes if axes.axison]
    assert all("n = 80" in axes_text(axes) for axes in panels)
    assert all("(%)" in axes.get_ylabel() or axes.get_ylabel() == "" for axes in panels)


@pytest.mark.parametrize("plot", FIGURES)
def test_nothing_is_cut_off_and_no_text_overlaps(
    plot: Callable[..., Figure], damaged: list[Row]
) -> None:
    figure = plot(damaged, LABEL)
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    items: list[Artist] = [*figure.texts, *figure.legends, *figure.axes]
    boxes: list[Any] = [item.get_tightbbox(renderer) for item in items]
    for box in boxes:
        assert box.x0 >= -1 and box.y0 >= -1
        assert box.x1 <= figure.bbox.x1 + 1 and box.y1 <= figure.bbox.y1 + 1
    for i, left in enumerate(boxes):
        assert not any(left.padded(-1).overlaps(right) for right in boxes[i + 1 :])


@pytest.mark.parametrize("plot", FIGURES)
def test_halted_and_missing_policies_are_named(
    plot: Callable[..., Figure], damaged: list[Row]
) -> None:
    text = texts(plot(damaged, LABEL))
    assert "S rest-em, iteration 3: halted (no examples left)." in text
    assert "S rest-em, iteration 2: halted (1 of 3 seeds: no examples left)." in text
    assert "L rest-em: no results for iteration 2" in text


def test_a_gap_breaks_the_line_and_a_halt_gets_a_cross(damaged: list[Row]) -> None:
    figure = accuracy(damaged, LABEL)
    lines: list[Any] = [line for line in figure.axes[0].lines if line.get_gid() == "L/rest-em"]
    assert [len(line.get_xdata()) for line in lines] == [2, 1]
    assert len(ys(figure, "S/rest-em/halted")) == 2


@pytest.mark.parametrize("plot", FIGURES)
def test_an_empty_summary_is_refused(plot: Callable[..., Figure], summary: list[Row]) -> None:
    with pytest.raises(RestemError, match="nothing to plot"):
        plot([], LABEL)
    with pytest.raises(RestemError):
        plot([row | {"split": "validation"} for row in summary], LABEL)


def test_a_gap_needs_both_splits(summary: list[Row]) -> None:
    with pytest.raises(RestemError, match="both train and test"):
        gap([row for row in summary if row["split"] == "test"], LABEL)


def test_two_sampled_decodings_need_a_name(summary: list[Row]) -> None:
    sampled = [row for row in summary if row["decoding"] == "sampled"]
    both = [*sampled, *(row | {"decoding": "nucleus"} for row in sampled)]
    with pytest.raises(RestemError, match="nucleus, sampled"):
        curves(both, LABEL)
    assert curves(both, LABEL, decoding="nucleus").axes


def test_two_processes_write_the_same_bytes(summary: list[Row], tmp_path: Path) -> None:
    data = tmp_path / "summary.json"
    data.write_text(json.dumps(summary))
    folders = [tmp_path / "first", tmp_path / "second"]
    source = str(Path(style.__file__).parents[2])
    running = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", REDRAW, str(data), str(folder)],
            env={**os.environ, "PYTHONPATH": source, "PYTHONHASHSEED": str(i)},
        )
        for i, folder in enumerate(folders)
    ]
    assert [process.wait(600) for process in running] == [0, 0]
    first, second = ({f.name: f.read_bytes() for f in folder.iterdir()} for folder in folders)
    assert len(first) == 9
    assert first == second


def test_a_users_matplotlib_settings_change_nothing(summary: list[Row], tmp_path: Path) -> None:
    import matplotlib

    plain = style.save(gap(summary, LABEL), tmp_path / "plain")
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "black", "savefig.dpi": 30}):
        changed = style.save(gap(summary, LABEL), tmp_path / "changed")
    assert [f.read_bytes() for f in plain] == [f.read_bytes() for f in changed]


def test_a_line_of_sft_on_few_solutions_says_how_many_there_were(summary: list[Row]) -> None:
    few = [r | {"references": "37 of 1,998"} if r["variant"] == "sft-terse" else r for r in summary]
    told = "sft-terse: 37 of 1,998 training problems have a reference solution."
    assert told in texts(accuracy(few, LABEL, train_task="sums"))
    assert told in texts(comparison.plot(few, LABEL, references=REFERENCES))
    assert "reference solution" not in texts(accuracy(summary, LABEL, train_task="sums"))
