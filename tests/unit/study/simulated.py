"""Made-up results: what the evaluations of a study would measure, to plot its figures from."""

import hashlib
import random
from dataclasses import asdict
from typing import Any

from restem.config.metrics import Metrics
from restem.statistics.evaluation import summarise
from restem.statistics.groups import break_down
from restem.study.addresses import BASE, Draws
from restem.study.graph import StudyGraph

Row = dict[str, Any]
PROBLEMS = 24
SUBJECTS = ("adding", "scaling", "counting")


def results(graph: StudyGraph) -> list[Row]:
    """Return one row for each problem of every evaluation, under every name of a policy."""
    rows = [row for draws in graph.evaluations() for row in _rows(graph, draws)]
    names = ("model", "variant", "seed", "iteration")
    aliases = [(asdict(owner), asdict(alias)) for owner, alias in graph.aliases]
    return rows + [
        row | {name: alias[name] for name in names}
        for owner, alias in aliases
        for row in rows
        if all(row[name] == owner[name] for name in names)
    ]


def tables(graph: StudyGraph, resamples: int = 40) -> dict[str, list[Row]]:
    """Return summary and breakdown of made-up results."""
    settings: Metrics = graph.metrics.model_copy(update={"resamples": resamples})
    rows, references = results(graph), graph.study.references
    return {
        "summary": summarise(rows, settings),
        "breakdown": break_down(rows, settings, references),
    }


def _rows(graph: StudyGraph, draws: Draws) -> list[Row]:
    policy, stated = draws.policy, graph.study.decodings[draws.decoding]
    rng = random.Random(hashlib.sha256(draws.path.encode()).digest())
    gain = 0.0 if policy.variant == BASE else 0.1 + 0.04 * policy.iteration + rng.gauss(0, 0.02)
    address = asdict(policy) | {"task": draws.task, "split": draws.split}
    address |= {"decoding": draws.decoding, "greedy": stated.greedy, "halted": None}
    rows = []
    for i in range(PROBLEMS):
        chance = min(1.0, (i + 0.5) / PROBLEMS * 0.8 + gain)
        correct = sum(rng.random() < chance for _ in range(stated.draws))
        choices = " ".join("0" if j < correct else str(j) for j in range(stated.draws))
        rows.append(
            address
            | {"problem_id": f"{i:03}", "subject": SUBJECTS[i % len(SUBJECTS)], "level": 1 + i % 2}
            | {"draws": stated.draws, "correct": correct, "choices": choices, "right": "0"}
            | {"solutions": " ".join("1" * correct)}
        )
    return rows
