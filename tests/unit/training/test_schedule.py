import itertools
import math
import random
import statistics
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restem.config.training import Training
from restem.training.examples import Encoded
from restem.training.schedule import epoch_batches, rate_factor, validation_steps


@pytest.mark.parametrize(
    ("schedule", "middle", "last"), [("cosine", 0.5, 0.0), ("linear", 0.5, 0.0), ("constant", 1, 1)]
)
def test_rate_rises_then_follows_its_schedule(schedule: str, middle: float, last: float) -> None:
    settings = Training(schedule=schedule, warmup_share=0.1)
    shares = [rate_factor(settings, step, 1000) for step in range(1000)]
    assert shares[0] == pytest.approx(0.01)
    assert shares[99] == 1
    assert shares[100] == 1
    assert shares[550] == pytest.approx(middle)
    assert shares[-1] == pytest.approx(last, abs=2e-3)


def test_early_stopping_chooses_among_weights_of_one_rate_whatever_the_limit_of_epochs() -> None:
    for limit in (3, 30):
        settings = Training(epochs_max=limit)
        assert settings.stop == "validation_reward"
        rates = {rate_factor(settings, step, 100 * limit) for step in range(90, 100 * limit)}
        assert rates == {1.0}


def test_no_warmup_starts_at_the_peak() -> None:
    assert rate_factor(Training(warmup_share=0), 0, 10) == 1


@given(steps=st.integers(1, 500), count=st.integers(1, 20))
def test_validations_are_spread_evenly_from_the_start_to_the_end(steps: int, count: int) -> None:
    due = sorted(validation_steps(steps, count))
    assert (due[0], due[-1]) == (0, steps)
    assert len(due) == 1 + min(steps, count)
    gaps = [later - before for before, later in itertools.pairwise(due)]
    assert max(gaps) - min(gaps) <= 1


def test_no_validations_are_none_at_all() -> None:
    assert validation_steps(20, 0) == set()


@pytest.mark.parametrize("shuffle", ["examples", "questions"])
def test_an_epoch_has_every_example_once(shuffle: Any) -> None:
    examples = [Encoded([k % 17], [5] * (1 + k % 9), float(k)) for k in range(103)]
    batches = epoch_batches(examples, 10, random.Random(0), shuffle)
    assert sorted(row.weight for batch in batches for row in batch) == list(range(103))
    assert len(batches) == 11
    assert max(map(len, batches)) == 10
    assert batches == epoch_batches(examples, 10, random.Random(0), shuffle)
    assert batches != epoch_batches(examples, 10, random.Random(1), shuffle)


def test_questions_stay_together_where_a_step_has_room() -> None:
    examples = [Encoded([k], [5] * (1 + n), 1.0) for n in range(5) for k in range(40)]
    steps = {
        shuffle: [
            {k: sum(e.prompt == [k] for e in batch) for k in range(40)}
            for batch in epoch_batches(examples, 20, random.Random(3), shuffle)
        ]
        for shuffle in ("examples", "questions")
    }
    assert all(set(step.values()) == {0, 5} for step in steps["questions"])
    assert any(set(step.values()) != {0, 5} for step in steps["examples"])
    cut = epoch_batches(examples, 7, random.Random(3), "questions")
    spread = [sum([k] in [e.prompt for e in batch] for batch in cut) for k in range(40)]
    assert max(spread) == 2  # a question that does not fit goes on in one other step
    assert len(cut) == 29


@pytest.mark.parametrize(
    ("share", "steps", "warmup"), [(0.07, 100, 7), (0.14, 50, 7), (0.1, 15, 2)]
)
def test_a_warmup_has_the_steps_that_its_share_says(share: float, steps: int, warmup: int) -> None:
    rates = [rate_factor(Training(warmup_share=share), step, steps) for step in range(steps)]
    assert rates.index(1) + 1 == warmup


@pytest.mark.parametrize("shuffle", ["examples", "questions"])
def test_lengths_do_not_decide_who_shares_a_step(shuffle: Any) -> None:
    rng = random.Random(0)
    lengths = [1 + round(rng.lognormvariate(4, 1)) for _ in range(4000)]
    examples = [Encoded([k // 4], [5] * length, 1.0) for k, length in enumerate(lengths)]
    batches = epoch_batches(examples, 20, random.Random(1), shuffle)
    logs = [[math.log(len(e.target)) for e in batch] for batch in batches]
    within = statistics.mean(map(statistics.pvariance, logs))
    overall = statistics.pvariance([value for batch in logs for value in batch])
    assert within == pytest.approx(overall * 19 / 20, rel=0.03)
