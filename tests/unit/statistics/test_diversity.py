"""distinct@k counts different correct solutions, whatever the number of draws behind it."""

import itertools
from typing import Any

import pytest

from restem.config.metrics import Metrics
from restem.errors import RestemError
from restem.figures import diversity
from restem.statistics.diversity import solution_counts
from restem.statistics.evaluation import distinct_at_k, summarise


def test_solutions_with_the_same_equations_are_one() -> None:
    texts = ["So 1+2=3. The end.", "We get 1 + 2 = 3", "2+1=3", "no equation", "no equation\n"]
    assert solution_counts(texts) == [2, 2, 1]
    assert solution_counts([]) == []


@pytest.mark.parametrize("k", [1, 2, 3, 5, 8])
def test_it_is_the_mean_over_all_choices_of_k_draws(k: int) -> None:
    draws = ["a", "a", "a", "b", "b", "c", None, None]  # None: wrong
    chosen = list(itertools.combinations(draws, k))
    expected = sum(len(set(c) - {None}) for c in chosen) / len(chosen) / k
    assert distinct_at_k(len(draws), [3, 2, 1], k) == pytest.approx(expected)


def test_it_is_pass_at_k_where_all_correct_solutions_are_alike() -> None:
    assert distinct_at_k(4, [4], 2) == 0.5
    assert distinct_at_k(4, [1, 1, 1, 1], 2) == 1.0
    assert distinct_at_k(4, [], 2) == 0.0


def rows(decoding: str, solutions: str, draws: int = 4) -> list[dict[str, Any]]:
    correct = sum(map(int, solutions.split()))
    return [
        {
            "task": "math", "split": "train", "model": "S", "variant": "base", "iteration": 0,
            "decoding": decoding, "seed": 0, "problem_id": f"p{i}", "subject": "", "level": None,
            "greedy": False, "draws": draws, "correct": correct, "halted": None,
            "solutions": solutions,
        }
        for i in range(5)
    ]  # fmt: skip


SETTINGS = Metrics(ks=(1,), distinct=(1, 2, 4), resamples=200)


def test_a_summary_has_it_for_every_k_that_the_draws_allow() -> None:
    found = summarise([*rows("wide", "1 1 1"), *rows("narrow", "3", draws=3)], SETTINGS)
    of = {(r["decoding"], r["quantity"]): r["estimate"] for r in found if r["seed"] is None}
    assert of[("wide", "distinct@4")] == 0.75
    assert of[("wide", "distinct@1")] == of[("wide", "pass@1")] == 0.75
    assert of[("narrow", "distinct@2")] == 0.5
    assert ("narrow", "distinct@4") not in of
    plain = summarise(rows("wide", "1 1 1"), Metrics(ks=(1,), resamples=200))
    assert {row["quantity"] for row in plain} == {"pass@1"}


def test_a_figure_has_a_line_for_each_way_of_sampling() -> None:
    summary = summarise([*rows("wide", "1 1 1"), *rows("narrow", "3")], SETTINGS)
    figure = diversity.plot(summary, "embedded model", decodings=["narrow", "wide"])
    lines: Any = {line.get_gid(): list(line.get_ydata()) for line in figure.axes[0].lines}
    assert lines["wide"] == pytest.approx([0.75, 1.5, 3.0])
    assert lines["narrow"] == pytest.approx([0.75, 1.0, 1.0])
    every: Any = diversity.plot(summary, "embedded model").axes[0].lines
    assert {line.get_gid() for line in every} == {"narrow", "wide"}
    with pytest.raises(RestemError, match="nothing to plot"):
        diversity.plot(summary, "embedded model", decodings=["other"])
