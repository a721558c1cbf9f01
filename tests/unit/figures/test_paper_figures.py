"""The figures of the paper show every policy that they are given, and say what is missing."""

from functools import partial
from typing import Any

import pytest

from restem.errors import RestemError
from restem.figures import (
    accuracy_by_iteration,
    by_compute,
    by_group,
    by_share,
    comparison,
    false_positives,
)
from tests.unit.summaries import plotted, row, texts

MARK = {"task": "math", "value": 0.4, "label": "PaLM 2-L"}


def test_a_comparison_shows_each_policy_once_the_base_first() -> None:
    rows = [row("rest-em", 0.5, 2), row("rest-em", 0.4, 1), row("sft", 0.45), row("base", 0.3, 0)]
    plot = partial(comparison.plot, rows, "n", train_task="math", references=["sft"])
    assert list(plotted(plot())) == ["base", "sft (1)", "rest-em (1)", "rest-em (2)"]
    assert list(plotted(plot(last=True))) == ["base", "sft (1)", "rest-em (2)"]


def test_a_comparison_puts_the_references_of_the_settings_first() -> None:
    rows = [row("human", 0.5), row("a-method", 0.4), row("sft-method", 0.45), row("base", 0.3, 0)]
    shown = plotted(comparison.plot(rows, "n", references=["human"]))
    assert list(shown) == ["base", "human (1)", "a-method (1)", "sft-method (1)"]


def test_iterations_that_nobody_evaluates_are_not_missed() -> None:
    last = [row("base", 0.3, 0), row("rest-em", 0.5, 3)]
    assert "no results" not in texts(comparison.plot(last, "n", last=True))
    gap = [*last, row("rest-em", 0.4, 1)]
    for shown, only_last in ((gap, True), (gap, False), (last, False)):
        text = texts(comparison.plot(shown, "n", last=only_last))
        assert "S rest-em: no results for iteration" in text


def test_a_vote_is_named_by_its_k() -> None:
    rows = [row("base", 0.3, 0, quantity="maj@16", k=16), row("base", 0.2, 0, quantity="pass@1")]
    assert plotted(comparison.plot(rows, "n", quantity="maj@")) == {"base, k = 16": [0.3]}


@pytest.mark.parametrize("module", [comparison, accuracy_by_iteration])
def test_marks_are_shown_on_their_task_with_their_label(module: Any) -> None:
    rows = [row("base", 0.3, 0), row("rest-em", 0.5)]
    figure = module.plot(rows, "n", train_task="math", marks=[MARK, MARK | {"task": "other"}])
    assert texts(figure).count("PaLM 2-L") == 1
    assert "the paper states" in texts(figure)
    without = module.plot(rows, "n", train_task="math", unmarked=2)
    assert "not drawn" in texts(without)


SHARES = {"all": 1.0, "few": 0.14, "half": 0.57}


def test_shares_come_from_the_settings_whatever_the_variants_are_called() -> None:
    rows = [row("all", 0.5), row("few", 0.3), row("half", 0.4), row("base", 0.2, 0)]
    rows.append(row("q-14", 0.9))  # has no share
    figure = by_share.plot(rows, "n", x=SHARES, x_label="share (%)", title="t")
    assert plotted(figure) == {"S": [0.3, 0.4, 0.5]}
    [line] = [line for line in figure.axes[0].lines if line.get_gid() == "S"]
    assert list(line.get_xdata()) == [0.14, 0.57, 1.0]
    figure.canvas.draw()
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert "100" in labels


def test_shares_without_results_are_refused() -> None:
    with pytest.raises(RestemError, match="no variant of the figure has results"):
        by_share.plot([row("base", 0.2, 0)], "n", x=SHARES, x_label="share", title="t")


COSTS = {"S/base/0": 0.0, "S/rest-em/1": 4e12, "S/rest-em/2": 9e12}
COSTS |= {"S/half/1": 3e12, "S/sft/1": 5e12}


def test_policies_stand_at_what_they_cost_and_references_are_one_line() -> None:
    rows = [row("sft", 0.45), row("half", 0.35), row("base", 0.2, 0)]
    rows += [row("rest-em", 0.5, 2), row("rest-em", 0.4, 1), row("uncounted", 0.9)]
    figure = by_compute.plot(rows, "n", costs=COSTS, references=["sft", "half"])
    lines = {line.get_gid(): line for line in figure.axes[0].lines}
    assert list(lines["references"].get_xdata()) == [3e12, 5e12]
    assert list(lines["references"].get_ydata()) == [0.35, 0.45]
    assert list(lines["rest-em"].get_xdata()) == [4e12, 9e12]
    assert "uncounted" not in lines
    assert figure.axes[0].get_xscale() == "log"


def test_compute_without_costs_is_refused() -> None:
    with pytest.raises(RestemError, match="no policy of the figure has a cost"):
        by_compute.plot([row("rest-em", 0.5), row("base", 0.2, 0)], "n", costs={})


def test_groups_are_in_the_order_of_difficulty_with_their_sizes() -> None:
    rows = [
        row(variant, 0.4, int(variant != "base"), kind="difficulty", group=group, reference=None)
        for variant in ("base", "rest-em")
        for group in ("very hard", "easy", "hard", "medium")
    ]
    rows.append(row("rest-em", 0.1, kind="difficulty", group="easy", reference="base"))
    figure = by_group.plot(rows, "n", kind="difficulty", quantity="accuracy")
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert [label.split("\n")[0] for label in labels] == ["very hard", "hard", "medium", "easy"]
    assert all("n = 50" in label for label in labels)
    assert len(plotted(figure)) == 8


def test_a_bin_without_problems_keeps_its_place() -> None:
    rows = [row("base", 0.4, 0, kind="difficulty", group="hard", reference=None)]
    figure = by_group.plot(rows, "n", kind="difficulty", quantity="accuracy")
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert labels == ["very hard\n(n = 0)", "hard\n(n = 50)", "medium\n(n = 0)", "easy\n(n = 0)"]


def test_the_mean_of_the_groups_comes_last_and_counts_no_problems_twice() -> None:
    rows = [
        row(variant, 0.4, kind="subject", group=group, reference=None)
        for variant in ("base", "rest-em")
        for group in ("mean", "word_sorting", "snarks")
    ]
    figure = by_group.plot(rows, "n", kind="subject", quantity="accuracy")
    labels = [label.get_text().split("\n")[0] for label in figure.axes[0].get_xticklabels()]
    assert labels == ["snarks", "word_sorting", "mean"]
    assert plotted(figure)["rest-em/mean"] == [0.4]
    assert "n = 100 problems in 2 groups" in texts(figure)
    assert "macro average" in texts(figure)


def test_a_missing_group_is_refused() -> None:
    with pytest.raises(RestemError, match="no accuracy by subject"):
        by_group.plot([], "n", kind="subject", quantity="accuracy")


def checked(variant: str, origin: str, estimate: float | None, **more: Any) -> dict[str, Any]:
    return {
        "task": "math", "model": "S", "variant": variant, "iteration": 1, "seed": None, "seeds": 1,
        "check": "second grader", "origin": origin, "kept": 90, "checked": 50, "undecided": 10,
        "problems": 40, "rejected": 4, "known": 0, "estimate": estimate, "low": 0.0, "high": 0.3,
        **more,
    }  # fmt: skip


def test_first_tries_and_rationalised_solutions_stand_side_by_side() -> None:
    rows = [
        checked("star", "first try", 0.1),
        checked("star", "rationalised", 0.2),
        checked("star-plain", "first try", 0.05),
        checked("star", "first try", 0.9, seed=0),
        checked("star", "rationalised", None, iteration=2),
    ]
    figure = false_positives.plot(rows, "embedded model")
    assert plotted(figure) == {
        "second grader/star/1/first try": [0.1],
        "second grader/star/1/rationalised": [0.2],
        "second grader/star-plain/1/first try": [0.05],
    }
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert labels == ["star (1)", "star-plain (1)"]
    assert "second grader: n = 40 solutions" in texts(figure)
    assert "Wilson" in texts(figure)


def test_each_check_has_panels_of_its_own() -> None:
    rows = [
        checked("star", "first try", 0.1, check=check, model=model)
        for check in ("equations", "second grader")
        for model in "SL"
    ]
    assert len(false_positives.plot(rows, "n").axes) == 4


def test_a_figure_of_no_rate_is_refused() -> None:
    with pytest.raises(RestemError, match="no rate of false positives"):
        false_positives.plot([checked("star", "first try", None)], "n")
