"""A realistic summary: two models, two SFT references, three iterations, a transfer task."""

from typing import Any

import numpy as np
import pytest

from restem.config.metrics import Metrics
from restem.statistics.evaluation import lifts, summarise

Row = dict[str, Any]
SETTINGS = Metrics(ks=(1, 2, 4, 8, 16, 32), resamples=200)
SKILL = {"S": -1.3, "L": -0.3}
REFERENCES = ("sft-terse", "sft-careful")
GAIN = {"base": [0.0], "sft-terse": [-0.2], "sft-careful": [0.5], "rest-em": [0.7, 1.0, 1.1]}
EVALUATIONS = [
    ("sums", "train", "greedy"),
    ("sums", "test", "greedy"),
    ("sums", "test", "sampled"),
    ("clocks", "test", "greedy"),
    ("clocks", "test", "sampled"),
]


def _policy(model: str, variant: str, iteration: int, seed: int) -> list[Row]:
    rng = np.random.default_rng([len(variant), iteration, seed, len(model)])
    gain = GAIN[variant][max(iteration - 1, 0)] + 0.1 * rng.normal() * (variant != "base")
    rows: list[Row] = []
    for task, split, decoding in EVALUATIONS:
        count, draws = (80, 1) if decoding == "greedy" else (80, 32)
        harder = 0.6 * (task == "clocks") - 0.3 * (split == "train") * iteration
        problems = np.random.default_rng(len(task)).normal(0, 1.6, count)
        right = rng.binomial(draws, 1 / (1 + np.exp(problems - SKILL[model] - gain + harder)))
        address: Row = {"task": task, "split": split, "model": model, "variant": variant}
        address |= {"seed": seed, "iteration": iteration, "decoding": decoding, "halted": None}
        address |= {"greedy": draws == 1}
        for i in range(count):
            cell = {"problem_id": f"{split}-{i:03}", "draws": draws, "correct": int(right[i])}
            rows.append(address | cell)
    return rows


@pytest.fixture(scope="session")
def results() -> list[Row]:
    rows: list[Row] = []
    for model in SKILL:
        for variant, gains in GAIN.items():
            for seed in [0] if variant == "base" else [0, 1, 2]:
                for step in range(len(gains)):
                    iteration = 0 if variant == "base" else step + 1
                    rows += _policy(model, variant, iteration, seed)
    return rows


@pytest.fixture(scope="session")
def summary(results: list[Row]) -> list[Row]:
    return summarise(results, SETTINGS)


@pytest.fixture(scope="session")
def lift_rows(results: list[Row]) -> list[Row]:
    return lifts(results, SETTINGS, REFERENCES)


def _halt(row: Row) -> Row:
    return row | {"draws": 0, "problem_id": "", "halted": "no examples left"}


@pytest.fixture(scope="session")
def damaged_results(results: list[Row]) -> list[Row]:
    """S halts at iteration 3, and at 2 for one seed; L lacks iteration 2; S sft-terse halts."""
    kept: list[Row] = []
    for row in results:
        who = (row["model"], row["variant"], row["iteration"])
        lost = who in {("S", "rest-em", 3), ("S", "sft-terse", 1)}
        lost = lost or (who == ("S", "rest-em", 2) and row["seed"] == 1)
        if lost and row["problem_id"].endswith("-000"):
            kept.append(_halt(row))
        elif not lost and who != ("L", "rest-em", 2):
            kept.append(row)
    return kept


@pytest.fixture(scope="session")
def damaged(damaged_results: list[Row]) -> list[Row]:
    return summarise(damaged_results, SETTINGS)


@pytest.fixture(scope="session")
def damaged_lifts(damaged_results: list[Row]) -> list[Row]:
    return lifts(damaged_results, SETTINGS, REFERENCES)


def row(variant: str, estimate: float, iteration: int = 1, **more: Any) -> Row:
    """Return a row of a summary or a breakdown."""
    return {
        "task": "math", "split": "test", "model": "S", "variant": variant, "iteration": iteration,
        "decoding": "greedy", "quantity": "accuracy", "k": 1, "seed": None, "seeds": 2,
        "problems": 50, "draws": 1, "estimate": estimate, "low": estimate - 0.1,
        "high": estimate + 0.1, "halted": None, **more,
    }  # fmt: skip


def plotted(figure: Any) -> dict[str, list[float]]:
    """Return the y values of everything in the figure that has a name."""
    lines = [line for axes in figure.axes for line in axes.lines if line.get_gid()]
    return {line.get_gid(): [float(y) for y in line.get_ydata()] for line in lines}


def texts(figure: Any) -> str:
    """Return the texts in and around the panels."""
    inside = [text.get_text() for axes in figure.axes for text in axes.texts]
    return "\n".join([*inside, *(text.get_text() for text in figure.texts)])
