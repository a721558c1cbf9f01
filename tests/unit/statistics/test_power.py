"""The power that is stated beforehand is the share of studies that find the effect."""

import numpy as np
import pytest

from restem.config.metrics import Metrics
from restem.statistics.intervals import Bootstrap, Estimate, Floats
from restem.statistics.power import Design, Variances, smallest_effect, variances_of

SETTINGS = Metrics(ks=(1,), resamples=2000)
TRIALS = 400


def results(
    truth: float, design: Design, parts: Variances, rng: np.random.Generator
) -> tuple[Floats, list[str]]:
    """Return results by problem and seed with these variances."""
    n, seeds = design.problems, design.seeds
    values = truth + rng.normal(0, parts.problems**0.5, (n, 1))
    values = values + rng.normal(0, parts.seeds**0.5, (1, seeds))
    return values + rng.normal(0, parts.cells**0.5, (n, seeds)), [str(i) for i in range(n)]


def estimate(truth: float, design: Design, parts: Variances, rng: np.random.Generator) -> Estimate:
    """Return a contrast with these variances, of several trained policies."""
    bootstrap, share = Bootstrap(SETTINGS), 1 / parts.policies
    of_one = Variances(parts.problems, parts.cells * share, parts.seeds * share, 1)
    values, names = results(truth, design, of_one, rng)
    contrast = bootstrap.estimate(values, names, "a")
    for place in range(1, parts.policies):
        noise = Variances(0.0, of_one.cells, of_one.seeds, 1)
        other, _ = results(0.0, design, noise, rng)
        contrast += bootstrap.estimate(other, names, place).times(-1)
    return contrast


CELLS = [
    (Design(150, 3), Variances(0.2, 0.1, 0.0004, 1)),
    (Design(300, 3), Variances(0.2, 0.2, 0.0025, 1)),
    (Design(300, 5), Variances(0.2, 0.2, 0.0025, 2)),
    (Design(150, 3), Variances(0.1, 0.3, 0.0008, 2)),
]


@pytest.mark.parametrize(
    ("design", "parts", "wanted"),
    [*((*cell, 0.8) for cell in CELLS), (*CELLS[0], 0.5), (*CELLS[3], 0.5)],
)
def test_simulated_power_is_within_five_points(
    design: Design, parts: Variances, wanted: float
) -> None:
    """Within five points, and a standard error of the simulation."""
    effect = smallest_effect(parts, design, 0.95, wanted)
    rng, found = np.random.default_rng(0), 0
    for _ in range(TRIALS):
        low = estimate(effect, design, parts, rng).distribution.quantile(0.025)
        found += low > 0
    noise = (wanted * (1 - wanted) / TRIALS) ** 0.5
    assert abs(found / TRIALS - wanted) <= 0.05 + noise


def test_the_variances_of_a_pilot_are_found_again() -> None:
    parts = Variances(0.2, 0.1, 0.0025, 1)
    rng, design = np.random.default_rng(1), Design(400, 5)
    found = [
        variances_of(estimate(0.1, design, parts, rng), design, 1, assumed_sd=0.0)
        for _ in range(200)
    ]
    assert np.mean([f.problems for f in found]) == pytest.approx(0.2, rel=0.1)
    assert np.mean([f.cells for f in found]) == pytest.approx(0.1, rel=0.1)
    assert np.mean([f.seeds for f in found]) == pytest.approx(0.0025, rel=0.2)


def test_of_one_seed_the_variance_between_trainings_is_assumed() -> None:
    values = np.array([[0.0], [1.0]] * 50)
    pilot = Bootstrap(SETTINGS).estimate(values, [str(i) for i in range(100)], "a")
    parts = variances_of(pilot, Design(100, 1), 2, assumed_sd=0.03)
    assert parts.seeds == pytest.approx(2 * 0.03**2)
    assert parts.problems == pytest.approx(0.25, rel=0.15)


def test_more_problems_and_more_seeds_find_smaller_effects() -> None:
    parts = Variances(0.2, 0.1, 0.0009, 1)
    effects = [smallest_effect(parts, Design(n, s), 0.95, 0.8) for n, s in
               ((100, 3), (300, 3), (300, 5), (300, 10))]  # fmt: skip
    assert effects == sorted(effects, reverse=True)


def test_what_no_number_of_problems_decides_is_said() -> None:
    from restem.statistics.power import problems_needed, seeds_needed

    parts = Variances(0.2, 0.0, 0.01, 1)
    assert problems_needed(parts, 3, 0.05, 0.95, 0.8) is None
    assert problems_needed(parts, 3, 0.6, 0.95, 0.8) is not None
    few = seeds_needed(parts, 300, 0.15, 0.95, 0.8)
    assert few is not None
    assert smallest_effect(parts, Design(300, few), 0.95, 0.8) <= 0.15
    assert smallest_effect(parts, Design(300, few - 1), 0.95, 0.8) > 0.15
