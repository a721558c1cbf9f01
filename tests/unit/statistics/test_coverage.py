"""The intervals cover the truth as often as they say, with few training seeds too."""

import itertools

import numpy as np
import pytest
from scipy import stats

from restem.config.metrics import Metrics
from restem.statistics.intervals import Bootstrap, Floats, student_t

SKILLS = np.random.default_rng(1).normal(-0.4, 1.8, 50_000)
GAIN = 0.4
TRIALS = 500
SETTINGS = Metrics(ks=(1,), resamples=1000)


def chance(logit: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-logit)), np.float64)


SLOPE = float((chance(SKILLS) * (1 - chance(SKILLS))).mean())  # of accuracy, by logit


def accuracy(sd: float, gain: float) -> float:
    """Return the accuracy over all problems and trainings whose accuracy varies by sd."""
    trainings = np.random.default_rng(2).normal(0, sd / SLOPE, len(SKILLS))
    return float(chance(SKILLS + gain + trainings).mean())


def trained(skills: Floats, seeds: int, sd: float, gain: float, rng: np.random.Generator) -> Floats:
    """Return greedy results by problem and seed."""
    trainings = rng.normal(0, sd / SLOPE, (1, seeds))
    wanted = chance(skills[:, None] + gain + trainings)
    return (rng.random(wanted.shape) < wanted).astype(float)


def coverage(against: str, problems: int, seeds: int, sd: float) -> float:
    """Return how often the interval of a gain, over base model or other training, has the truth."""
    names = [str(place) for place in range(problems)]
    bootstrap, rng, hits = Bootstrap(SETTINGS), np.random.default_rng(seeds), 0
    over_base = against == "base"
    truth = accuracy(sd, GAIN) - accuracy(0.0 if over_base else sd, 0.0)
    for _ in range(TRIALS):
        skills = rng.normal(-0.4, 1.8, problems)
        tuned = trained(skills, seeds, sd, GAIN, rng)
        other = trained(skills, 1 if over_base else seeds, 0.0 if over_base else sd, 0.0, rng)
        gain = bootstrap.estimate(tuned, names, "tuned")
        gain += bootstrap.estimate(other, names, None if over_base else "other").times(-1)
        interval = bootstrap.interval(gain, (-1.0, 1.0), problems)
        hits += interval["low"] <= truth <= interval["high"]
    return hits / TRIALS


GRID = list(itertools.product((80, 300), (3, 5), (0.0, 0.02, 0.05)))


@pytest.mark.parametrize("against", ["base", "another training"])
def test_intervals_of_few_seeds_cover_93_to_97_percent(against: str) -> None:
    """Over 12 settings; a single one of 500 trials has a standard error of a point by itself."""
    covered = {cell: coverage(against, *cell) for cell in GRID}
    assert 0.94 <= np.mean(list(covered.values())) <= 0.97, covered
    noise = 2.5 * float(np.sqrt(0.95 * 0.05 / TRIALS))
    for cell, share in covered.items():
        assert 0.93 - noise <= share <= 0.97 + noise, (cell, share)


@pytest.mark.parametrize("sd", [0.0, 0.05])
def test_two_seeds_are_covered_at_least_as_often_as_stated(sd: float) -> None:
    assert coverage("base", 300, 2, sd) >= 0.93


@pytest.mark.parametrize("freedom", [1, 1.5, 2, 3.7, 10, 100])
def test_the_distribution_function_of_t_is_that_of_scipy(freedom: float) -> None:
    x = np.array([-60, -12.7, -4.3, -2, -0.5, 0, 1, 3, 30])
    assert student_t(x, freedom) == pytest.approx(stats.t.cdf(x, freedom), abs=1e-5)


def test_seeds_of_one_policy_on_two_splits_stay_together() -> None:
    """What a good training adds on both splits vanishes from their difference."""
    rng = np.random.default_rng(0)
    bootstrap = Bootstrap(SETTINGS)
    values = np.clip(rng.normal(0.5, 0.1, (50, 1)) + np.array([[-0.3, 0.0, 0.3]]), 0, 1)
    names = [str(place) for place in range(50)]
    test, train = (bootstrap.estimate(values, names, "policy") for _ in range(2))
    apart = bootstrap.estimate(values, names, "another")
    assert (train + test.times(-1)).distribution.scale == 0
    assert (train + apart.times(-1)).distribution.scale > 0.1


def test_a_single_seed_has_the_plain_bootstrap() -> None:
    values = np.array([[0.0], [1.0]] * 30)
    names = [str(place) for place in range(60)]
    estimate = Bootstrap(SETTINGS).estimate(values, names, "policy")
    assert (estimate.point, estimate.by_seed, estimate.noise) == (0.5, {}, 0.0)
    low, high = (estimate.distribution.quantile(share) for share in (0.025, 0.975))
    assert (low, high) == tuple(np.quantile(estimate.resampled, [0.025, 0.975]))
