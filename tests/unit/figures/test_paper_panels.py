"""The panels and axes of the paper's figures: cited numbers, pass@K, questions, capability."""

from typing import Any

import pytest

from restem.errors import RestemError
from restem.figures import by_share, capability, comparison, exam, pass_at_k
from tests.unit.summaries import plotted, row, texts

CITED = {
    "math": {
        "title": "MATH, 4-shot",
        "points": [
            {"label": "GPT-4", "value": 0.425, "source": "xAI 2023"},
            {"label": "Llemma 7B", "value": 0.18, "source": "Azerbayev 2023"},
        ],
    }
}


def titles(figure: Any) -> list[str]:
    return [axes.get_title(loc="left") for axes in figure.axes if axes.axison]


# ---- cited numbers ----


def test_cited_numbers_stand_in_a_panel_of_their_own_with_their_source() -> None:
    rows = [row("base", 0.3, 0), row("rest-em", 0.5)]
    figure = comparison.plot(rows, "embedded model", cited=CITED)
    ours, cited = figure.axes
    assert titles(figure) == ["math · S", "MATH, 4-shot"]
    assert [line.get_gid() for line in cited.lines] == ["cited"]
    assert list(cited.lines[0].get_ydata()) == [0.18, 0.425]
    assert [label.get_text() for label in cited.get_xticklabels()] == ["Llemma 7B", "GPT-4"]
    assert "cited" not in [line.get_gid() for line in ours.lines]
    assert not ours.get_shared_y_axes().joined(ours, cited)
    assert "cited, not measured here" in texts(figure)
    assert "Cited: GPT-4: xAI 2023." in texts(figure)
    assert "Cited: Llemma 7B: Azerbayev 2023." in texts(figure)


def test_each_task_has_the_panels_of_its_own_models() -> None:
    rows = [row("base", 0.3, 0, model=model) for model in ("L", "S")]
    rows += [row("base", 0.2, 0, task="humaneval", model="L-code")]
    figure = comparison.plot(rows, "n", train_task="math", cited=CITED)
    first, second, _, third = figure.axes[:4]
    assert titles(figure) == ["math · L", "math · S", "MATH, 4-shot", "humaneval · L-code"]
    assert first.get_shared_y_axes().joined(first, second)
    assert third.get_ylabel()


def test_cited_models_of_the_exam_are_beside_ours_in_the_papers_range() -> None:
    points = [{"label": "GPT-4", "x": 0.68, "value": 0.92, "source": "xAI 2023"}]
    rows = [
        row("base", 0.25, 0, task="hungarian", decoding="exam", quantity="score"),
        row("base", 0.5, 0, task="gsm8k"),
    ]
    cited = {"hungarian": {"title": "Hungarian exam", "points": points}}
    figure = exam.plot(rows, "n", exam="hungarian", against="gsm8k", cited=cited)
    ours, theirs = figure.axes
    assert [line.get_gid() for line in theirs.lines] == ["cited"]
    assert [line.get_gid() for line in ours.lines] == ["S base"]
    assert [text.get_text() for text in theirs.texts if text.get_text() == "GPT-4"]
    assert theirs.get_xlim()[0] <= 0.2
    assert theirs.get_ylim()[1] >= 0.92
    assert len(exam.plot(rows, "n", exam="hungarian", against="gsm8k").axes) == 1


# ---- pass@K ----


def sampled(task: str, k: int, **more: Any) -> dict[str, Any]:
    cell = {"task": task, "quantity": f"pass@{k}", "k": k, "decoding": "nucleus", "draws": 64}
    return row("base", 0.3 + 0.01 * k, 0, **{**cell, **more})


def test_pass_at_k_has_linear_axes_an_end_and_an_order_where_asked() -> None:
    rows = [sampled(task, k) for task in ("apps", "humaneval", "math") for k in (1, 10, 64)]
    order = ["humaneval", "apps", "math"]
    figure = pass_at_k.plot(rows, "n", scale="linear", most_k={"apps": 10}, order=order)
    assert [title.split()[0] for title in titles(figure)] == order
    assert [axes.get_xscale() for axes in figure.axes] == ["linear"] * 3
    ks = [list(axes.lines[0].get_xdata()) for axes in figure.axes]
    assert ks == [[1, 10, 64], [1, 10], [1, 10, 64]]
    assert {axes.get_xscale() for axes in pass_at_k.plot(rows, "n").axes} == {"log"}


def test_tasks_of_one_model_each_stand_side_by_side() -> None:
    rows = [sampled("math", 1, model="L"), sampled("apps", 1, model="L-code")]
    figure = pass_at_k.plot(rows, "n")
    assert titles(figure) == ["apps · L-code", "math · L"]
    left, right = (axes.get_position() for axes in figure.axes)
    assert left.y0 == right.y0


# ---- number of questions ----


def test_counts_begin_at_the_base_model_with_zero() -> None:
    rows = [row("all", 0.5), row("few", 0.3), row("base", 0.2, 0)]
    x = {"few": 1000, "all": 7000}
    figure = by_share.plot(rows, "n", x=x, counts=True, x_label="questions", title="t")
    [line] = [line for line in figure.axes[0].lines if line.get_gid() == "S"]
    assert list(line.get_xdata()) == [0, 1000, 7000]
    assert plotted(figure) == {"S": [0.2, 0.3, 0.5]}
    figure.canvas.draw()
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert labels == ["0", "1,000", "7,000"]
    assert figure.axes[0].get_xlabel() == "questions"


def test_counts_without_results_of_a_variant_are_refused() -> None:
    with pytest.raises(RestemError, match="no variant of the figure has results"):
        by_share.plot([row("base", 0.2, 0)], "n", x={"few": 9}, counts=True, x_label="", title="t")


# ---- general capability ----


def capable(variant: str, estimate: float, group: str, **more: Any) -> dict[str, Any]:
    cell: dict[str, Any] = {"task": "cot", "kind": "subject", "group": group, "reference": None}
    return row(variant, estimate, **{"iteration": int(variant != "base"), **cell, **more})


OPTIONS: dict[str, Any] = {"by_task": "cot", "averages": {"CoT": "cot", "direct": "direct"}}


def test_capability_is_shown_by_task_and_as_averages_of_both_prompts() -> None:
    rows = [
        capable(variant, estimate, group, task=task)
        for variant, estimate in (("base", 0.4), ("code-rest-em", 0.45), ("rest-em", 0.5))
        for task in ("cot", "direct")
        for group in ("mean", "snarks", "navigate")
    ]
    figure = capability.plot(rows, "n", **OPTIONS)
    left, right = figure.axes
    assert [label.get_text() for label in left.get_xticklabels()] == ["navigate", "snarks"]
    assert [label.get_text() for label in right.get_xticklabels()] == ["CoT", "direct"]
    assert plotted(figure)["cot/snarks/rest-em"] == [0.5]
    assert plotted(figure)["direct/mean/code-rest-em"] == [0.45]
    assert not [name for name in plotted(figure) if name.startswith("direct/snarks")]
    assert "100 problems in 2 tasks" in texts(figure)


def test_the_black_line_is_the_spread_of_all_checkpoints_about_their_mean() -> None:
    rows = [
        capable("rest-em", estimate, "snarks", iteration=iteration, seed=seed)
        for iteration, seed, estimate in ((1, 0, 0.2), (1, 1, 0.4), (2, 0, 0.6), (2, 1, 0.8))
    ]
    rows += [capable("rest-em", 0.3, "snarks"), capable("rest-em", 0.7, "snarks", iteration=2)]
    shown = plotted(capability.plot(rows, "n", **OPTIONS))
    assert shown["cot/snarks/rest-em"] == [0.7]  # the last iteration, over all seeds
    sd = (0.2 / 3) ** 0.5  # of 0.2, 0.4, 0.6, 0.8
    assert shown["cot/snarks/rest-em/spread"] == pytest.approx([0.5 - sd, 0.5 + sd])


def test_a_policy_without_results_is_named() -> None:
    rows = [capable(variant, 0.4, "snarks") for variant in ("base", "rest-em")]
    kept = {"variant": ["base", "rest-em", "code-rest-em"]}
    text = texts(capability.plot(rows, "n", kept=kept, **OPTIONS))
    assert "No results of code-rest-em." in text
    assert text.count("No results") == 1


def test_one_checkpoint_has_no_spread() -> None:
    rows = [capable("rest-em", 0.7, "snarks", seed=seed) for seed in (None, 0)]
    assert list(plotted(capability.plot(rows, "n", **OPTIONS))) == ["cot/snarks/rest-em"]


def test_capability_without_its_benchmark_is_refused() -> None:
    with pytest.raises(RestemError, match="no accuracy of cot by subject"):
        capability.plot([capable("base", 0.4, "snarks", task="other")], "n", **OPTIONS)
