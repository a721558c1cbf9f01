"""Figure 10 shows whom a human graded, names who waits, and is plotted in either case."""

from typing import Any

import pytest

from restem.errors import RestemError
from restem.figures import exam, pass_at_k, style
from restem.pages import table
from tests.unit.summaries import plotted, row, texts

OPTIONS: dict[str, Any] = {"exam": "hungarian", "against": "gsm8k"}


def score(variant: str, estimate: float, iteration: int = 1, **more: Any) -> dict[str, Any]:
    cell = {"task": "hungarian", "decoding": "exam", "quantity": "score", "problems": 33}
    return row(variant, estimate, iteration, **{**cell, **more})


def accuracy(variant: str, estimate: float, iteration: int = 1, **more: Any) -> dict[str, Any]:
    return row(variant, estimate, iteration, task="gsm8k", **more)


BOTH = [
    score("base", 0.25, 0), score("rest-em", 0.4, 3),
    accuracy("base", 0.5, 0), accuracy("rest-em", 0.6, 2), accuracy("rest-em", 0.7, 3),
]  # fmt: skip


def test_every_graded_policy_is_a_point_of_score_and_accuracy() -> None:
    figure = exam.plot(BOTH, "n", **OPTIONS)
    assert plotted(figure) == {"S base": [0.5], "S rest-em (3)": [0.7]}
    xs = {line.get_gid(): list(line.get_xdata()) for line in figure.axes[0].lines}
    assert (xs["S base"], xs["S rest-em (3)"]) == ([0.25], [0.4])
    assert "n = 33 problems" in texts(figure)
    assert "Not graded yet" not in texts(figure)
    assert "no results" not in texts(figure)  # of earlier iterations: only the last sits the exam


def test_full_marks_and_other_splits_are_no_score() -> None:
    more = [score("base", 0.9, 0, quantity="pass@1"), score("base", 0.8, 0, split="train")]
    assert plotted(exam.plot([*BOTH, *more], "n", **OPTIONS)) == plotted(
        exam.plot(BOTH, "n", **OPTIONS)
    )


def test_who_waits_for_a_human_is_named_and_not_plotted() -> None:
    figure = exam.plot([r for r in BOTH if r["variant"] != "rest-em" or
                        r["task"] == "gsm8k"], "n", **OPTIONS)  # fmt: skip
    assert list(plotted(figure)) == ["S base"]
    assert "Not graded yet: S rest-em (3)." in texts(figure)


def test_without_any_sheet_the_figure_says_so() -> None:
    figure = exam.plot([r for r in BOTH if r["task"] == "gsm8k"], "n", **OPTIONS)
    assert "nothing is graded yet" in texts(figure)
    assert "Not graded yet: S base, S rest-em (3)." in texts(figure)
    assert "no results" in texts(figure)


def test_without_the_benchmark_there_is_nothing_to_plot_against() -> None:
    with pytest.raises(RestemError, match="no policy has an accuracy on gsm8k"):
        exam.plot([score("base", 0.2, 0)], "n", **OPTIONS)


def test_halted_policies_are_named_and_not_plotted() -> None:
    gone: Any = {"estimate": None, "low": None, "high": None, "halted": "no examples left"}
    rows = [*BOTH[:1], *BOTH[2:3], accuracy("rest-em", 0.5, 1) | gone]
    figure = exam.plot(rows, "n", **OPTIONS)
    assert list(plotted(figure)) == ["S base"]
    assert "halted (no examples left)" in texts(figure)


def test_the_axes_are_those_of_the_paper_and_wider_where_a_policy_needs_it() -> None:
    axes = exam.plot([score("base", 0.45, 0), accuracy("base", 0.6, 0)], "n", **OPTIONS).axes[0]
    assert axes.get_xlim() == (0.2, 0.7)
    assert axes.get_ylim() == (0.3, 0.9)
    axes = exam.plot([score("base", 0.1, 0), accuracy("base", 0.95, 0)], "n", **OPTIONS).axes[0]
    assert axes.get_xlim()[0] < 0.0 < 0.2
    assert axes.get_ylim()[1] > 0.95


def test_it_is_the_same_bytes_every_time(tmp_path: Any) -> None:
    for name in ("a", "b"):
        style.save(exam.plot(BOTH, "n", **OPTIONS), tmp_path / name)
    for kind in ("svg", "png", "pdf"):
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()


def test_an_exam_beside_sampled_results_breaks_neither_curves_nor_table() -> None:
    """It has a decoding of its own, while curves and table expect one."""
    graded = [score("base", 0.3, 0), score("base", 0.1, 0, quantity="pass@1")]
    sampled = [row("base", 0.2, 0, quantity=f"pass@{k}", k=k, decoding="explore") for k in (1, 2)]
    curve = pass_at_k.plot([*graded, *sampled], "n")
    assert "hungarian" not in texts(curve) + "".join(a.get_title(loc="left") for a in curve.axes)
    rows = [*graded, *sampled, row("base", 0.3, 0)]
    with_exam = table.build(rows, [], "n", train_task="math")
    assert with_exam.rows == table.build(rows[2:], [], "n", train_task="math").rows
    alone = table.build([*graded, row("base", 0.3, 0)], [], "n", train_task="math")
    assert "pass@1" not in alone.headers


def test_an_exam_that_a_verifier_marks_says_so_and_places_every_policy() -> None:
    marked = [score("base", 0.2, 0, quantity="pass@1"), score("rest-em", 0.3, 3, quantity="pass@1")]
    both = [r for r in BOTH if r["task"] == "gsm8k"] + marked
    figure = exam.plot(both, "n", **OPTIONS)
    xs = {line.get_gid(): list(line.get_xdata()) for line in figure.axes[0].lines}
    assert (xs["S base"], xs["S rest-em (3)"]) == ([0.2], [0.3])
    assert "no human graded them" in texts(figure)
    assert "no human" not in texts(exam.plot(BOTH, "n", **OPTIONS))
