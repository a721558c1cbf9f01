"""Check pass@k against enumeration, and the intervals against what intervals promise."""

import itertools
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from restem.artifacts import tables
from restem.artifacts.schemas.estimates import LIFTS, SUMMARY
from restem.config.metrics import Metrics
from restem.errors import RestemError
from restem.statistics import intervals
from restem.statistics.evaluation import lifts, pass_at_k, summarise

Row = dict[str, Any]
QUICK = Metrics(ks=(1,), resamples=400)
REFERENCES = ("sft-terse", "sft-careful")


def rows(correct: list[int], draws: int = 1, **address: Any) -> Iterator[Row]:
    cell = {
        "task": "sums",
        "split": "test",
        "model": "S",
        "variant": "base",
        "seed": 0,
        "iteration": 0,
        "decoding": "greedy",
        "greedy": draws <= 1,
        "halted": None,
    } | address
    for number, count in enumerate(correct):
        counts = {"problem_id": f"p{number:04}", "level": None, "subject": "", "draws": draws}
        yield cell | counts | {"correct": count, "completion_tokens_mean": 10.0}


def halted(reason: str, **address: Any) -> Row:
    (row,) = rows([0], 0, **address)
    return row | {"problem_id": "", "halted": reason}


def only(rows: list[Row], **wanted: Any) -> Row:
    (row,) = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    return row


def width(row: Row) -> float:
    return float(row["high"] - row["low"])


@given(st.integers(1, 8).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))), st.data())
def test_pass_at_k_equals_the_share_of_subsets_with_a_right_draw(
    pair: tuple[int, int], data: st.DataObject
) -> None:
    n, c = pair
    k = data.draw(st.integers(1, n))
    subsets = list(itertools.combinations([True] * c + [False] * (n - c), k))
    expected = sum(any(subset) for subset in subsets) / len(subsets)
    assert pass_at_k([n], [c], k)[0] == pytest.approx(expected, abs=1e-12)


def test_pass_at_k_is_stable_for_many_draws_and_mixed_counts() -> None:
    estimates = pass_at_k([10_000, 10_000, 64, 64], [0, 9_999, 1, 64], 64)
    assert estimates.tolist() == pytest.approx([0.0, 1.0, 1.0, 1.0], abs=1e-12)
    assert pass_at_k([10_000], [1], 64)[0] == pytest.approx(64 / 10_000)


@pytest.mark.parametrize(("n", "c", "k"), [(4, 2, 5), (4, 2, 0), (4, 5, 1), (4, -1, 1)])
def test_pass_at_k_refuses_impossible_counts(n: int, c: int, k: int) -> None:
    with pytest.raises(RestemError):
        pass_at_k([n], [c], k)


@pytest.mark.parametrize("seeds", [1, 8])
def test_intervals_cover_the_truth_about_as_often_as_they_say(seeds: int) -> None:
    rng, hits, trials = np.random.default_rng(1), 0, 200
    # Skill of a seed shifts every problem: crossed effects, as in training seeds on one test set.
    truth = 1 / (1 + np.exp(-rng.normal(-0.5, 1.5, 200_000) - rng.normal(0, 0.3, 200_000)))
    for _ in range(trials):
        problems = rng.normal(-0.5, 1.5, 120)
        data: list[Row] = []
        for seed in range(seeds):
            skill = rng.normal(0, 0.3) if seeds > 1 else 0.0
            right = rng.binomial(4, 1 / (1 + np.exp(-problems - skill)))
            data += rows(right.tolist(), 4, seed=seed, decoding="sampled", variant="sft")
        row = only(summarise(data, QUICK), seed=None)
        hits += row["low"] <= truth.mean() <= row["high"]
    assert 0.90 <= hits / trials <= 0.995


def test_seeds_that_differ_widen_the_interval() -> None:
    same = [row for seed in range(4) for row in rows([0, 1] * 50, seed=seed, variant="sft")]
    apart = [
        row
        for seed, right in enumerate([20, 40, 60, 80])
        for row in rows([1] * right + [0] * (100 - right), seed=seed, variant="sft")
    ]
    narrow, wide = (only(summarise(data, QUICK), seed=None) for data in (same, apart))
    assert narrow["estimate"] == wide["estimate"] == 0.5
    assert width(wide) > 1.5 * width(narrow)
    assert wide["seeds"] == 4


def _correlated() -> list[Row]:
    rng = np.random.default_rng(3)
    base = rng.random(200) < 0.4
    better = base | (rng.random(200) < 0.1)
    tuned = rows(better.astype(int).tolist(), variant="rest-em", iteration=1)
    return [*rows(base.astype(int).tolist()), *tuned]


def test_a_paired_interval_is_narrower_than_an_unpaired_one() -> None:
    data = _correlated()
    lift = only(lifts(data, QUICK, REFERENCES), reference="base")
    single = [only(summarise(data, QUICK), variant=v, seed=None) for v in ("base", "rest-em")]
    unpaired = sum(width(row) ** 2 for row in single) ** 0.5
    assert lift["estimate"] == pytest.approx(single[1]["estimate"] - single[0]["estimate"])
    assert width(lift) < 0.6 * unpaired
    assert lift["low"] > 0


@settings(max_examples=5, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(shuffler: random.Random) -> None:
    data = _correlated()
    mixed = list(data)
    shuffler.shuffle(mixed)
    assert summarise(mixed, QUICK) == summarise(data, QUICK)
    assert lifts(mixed, QUICK, REFERENCES) == lifts(data, QUICK, REFERENCES)


@pytest.mark.parametrize(
    ("correct", "low", "high"),
    [
        ([1] * 20, 0.025 ** (1 / 20), 1.0),
        ([0] * 20, 0.0, 1 - 0.025 ** (1 / 20)),
        ([1], 0.025, 1.0),
        ([0], 0.0, 0.975),
    ],
)
def test_unanimous_problems_leave_room_for_those_not_seen(
    correct: list[int], low: float, high: float
) -> None:
    row = only(summarise(list(rows(correct)), QUICK), seed=None)
    assert (row["low"], row["high"]) == pytest.approx((low, high))
    assert row["low"] <= row["estimate"] <= row["high"]


def test_one_problem_with_several_seeds_says_little_about_the_others() -> None:
    data = [row for seed in range(3) for row in rows([seed % 2], seed=seed, variant="sft")]
    row = only(summarise(data, QUICK), seed=None)
    assert row["estimate"] == pytest.approx(1 / 3)
    assert width(row) > 0.9


def test_each_seed_has_its_rows_and_the_whole_comes_first() -> None:
    data = [row for seed in (0, 1) for row in rows([2, seed, 4, 0], 4, seed=seed, decoding="t0.7")]
    summary = summarise(data, Metrics(ks=(1, 2, 4), resamples=100))
    assert [(row["seed"], row["quantity"], row["k"]) for row in summary] == [
        (seed, f"pass@{k}", k) for seed in (None, 0, 1) for k in (1, 2, 4)
    ]
    assert summary[0]["estimate"] == pytest.approx((6 + 7) / 2 / 16)
    assert (summary[0]["problems"], summary[0]["draws"], summary[0]["seeds"]) == (4, 4, 2)


def test_a_decoding_gives_the_ks_that_it_drew_enough_for() -> None:
    data = [*rows([1, 0], 2, decoding="few"), *rows([5, 1], 8, decoding="many")]
    summary = summarise(data, Metrics(ks=(1, 2, 8), resamples=100))
    assert {row["k"] for row in summary if row["decoding"] == "few"} == {1, 2}
    assert {row["k"] for row in summary if row["decoding"] == "many"} == {1, 2, 8}


def test_a_k_that_no_decoding_can_give_is_refused() -> None:
    data = list(rows([1, 0], 2, decoding="few"))
    with pytest.raises(RestemError, match="needs 8 draws"):
        summarise(data, Metrics(ks=(1, 8)))


def test_greedy_alone_needs_no_draws() -> None:
    assert {row["quantity"] for row in summarise(list(rows([1, 0])), Metrics())} == {"accuracy"}


def test_what_a_decoding_is_called_has_no_meaning() -> None:
    sampled = list(rows([5, 1], 8, decoding="greedy", greedy=False))
    assert {row["quantity"] for row in summarise(sampled, QUICK)} == {"pass@1"}
    greedy = list(rows([1, 0], decoding="argmax", greedy=True))
    assert {row["quantity"] for row in summarise(greedy, QUICK)} == {"accuracy"}
    one_draw = list(rows([1, 0], decoding="once", greedy=False))
    assert {row["quantity"] for row in summarise(one_draw, QUICK)} == {"pass@1"}


def test_one_decoding_cannot_be_greedy_and_sampled() -> None:
    data = [*rows([1, 0]), *rows([1, 0], seed=1, greedy=False)]
    with pytest.raises(RestemError, match="greedy and sampled"):
        summarise(data, QUICK)


def test_a_halted_policy_keeps_its_reason_and_has_no_estimate() -> None:
    data = [*rows([1, 0]), halted("no examples left", variant="rest-em", iteration=1)]
    row = only(summarise(data, QUICK), variant="rest-em", seed=None)
    assert (row["estimate"], row["low"], row["high"]) == (None, None, None)
    assert (row["problems"], row["seeds"], row["halted"]) == (0, 0, "no examples left")
    assert only(lifts(data, QUICK, REFERENCES), variant="rest-em")["estimate"] is None


def test_a_seed_that_halted_is_counted_out_and_named() -> None:
    tuned: Row = {"variant": "rest-em", "iteration": 1}
    live = [row for seed in (0, 2) for row in rows([1, 1, 0, 0], seed=seed, **tuned)]
    data = [*rows([1, 0, 0, 0]), *live, halted("no examples left", seed=1, **tuned)]
    row = only(summarise(data, QUICK), variant="rest-em", seed=None)
    assert (row["estimate"], row["seeds"]) == (0.5, 2)
    assert row["halted"] == "1 of 3 seeds: no examples left"


def test_lifts_are_over_base_and_every_other_reference() -> None:
    data = [
        *rows([1, 0, 0, 0]),
        *rows([1, 1, 0, 0], variant="sft-terse", iteration=1),
        *rows([1, 1, 1, 0], variant="sft-careful", iteration=1),
        *rows([1, 1, 1, 1], variant="rest-em", iteration=1),
    ]
    by_pair = {
        (row["variant"], row["reference"]): row["estimate"]
        for row in lifts(data, QUICK, REFERENCES)
    }
    assert by_pair == {
        ("sft-terse", "base"): 0.25,
        ("sft-careful", "base"): 0.5,
        ("rest-em", "base"): 0.75,
        ("sft-terse", "sft-careful"): -0.25,
        ("sft-careful", "sft-terse"): 0.25,
        ("rest-em", "sft-terse"): 0.5,
        ("rest-em", "sft-careful"): 0.25,
    }


def test_what_a_variant_is_called_makes_it_no_reference() -> None:
    data = [
        *rows([1, 0, 0, 0]),
        *rows([1, 1, 0, 0], variant="human", iteration=1),
        *rows([1, 1, 1, 0], variant="sft", iteration=1),
    ]
    pairs = {(row["variant"], row["reference"]) for row in lifts(data, QUICK, ["human"])}
    assert pairs == {("human", "base"), ("sft", "base"), ("sft", "human")}


def test_lifts_use_the_problems_that_both_answered() -> None:
    data = [*rows([1, 0, 0, 0]), *rows([1, 1], variant="rest-em", iteration=1)]
    (row,) = lifts(data, QUICK, REFERENCES)
    assert (row["problems"], row["estimate"]) == (2, 0.5)


def test_the_columns_fit_the_tables() -> None:
    data = [*_correlated(), halted("no examples left", variant="rest-em", iteration=2)]
    assert tables.table(SUMMARY, summarise(data, QUICK)).num_rows == 6
    assert set(lifts(data, QUICK, REFERENCES)[0]) == set(LIFTS.schema.names)
    assert set(summarise(data, QUICK)[0]) == set(SUMMARY.schema.names)


@pytest.mark.parametrize(
    "data",
    [
        [],
        [*rows([1, 0]), *rows([1, 0])],
        [*rows([1, 0]), *rows([1], seed=1)],
        [*rows([1, 0]), halted("no examples left")],
        [*rows([2, 0])],
    ],
)
def test_contradictory_results_are_refused(data: list[Row]) -> None:
    with pytest.raises(RestemError):
        summarise(data, QUICK)


@pytest.mark.parametrize("block", [{"ks": [2, 1]}, {"ks": []}, {"ks": [0]}, {"confidence": 1}])
def test_the_configuration_refuses_what_makes_no_sense(block: Row) -> None:
    with pytest.raises(ValidationError):
        Metrics.model_validate(block)


def test_large_resamples_are_drawn_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = summarise(_correlated(), QUICK)
    monkeypatch.setattr(intervals, "_CHUNK", 1000)
    assert summarise(_correlated(), QUICK) == whole
