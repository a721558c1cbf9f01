"""Say what a study can decide, from the variances of a pilot that has run.

For each claim: the effect of the pilot, the smallest effect that the planned numbers of problems
and seeds decide with the wanted power, and how many problems, or seeds, would decide the pilot's
effect. A claim with several tests is as strong as its weakest.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from restem.config.claims import Claim
from restem.config.load import load_published, load_study, read_yaml
from restem.errors import RestemError
from restem.pages.markdown import table
from restem.statistics.aliases import all_rows
from restem.statistics.claims import Effect, effects
from restem.statistics.power import (
    LEAST_SEEDS,
    Design,
    power_of,
    problems_needed,
    seeds_needed,
    smallest_effect,
    variances_of,
)
from restem.study.graph import StudyGraph


@dataclass(frozen=True)
class Plan:
    """What is planned: numbers of problems and seeds (None: those of the pilot), power wanted.

    seed_sd: of the accuracy between trainings, in shares; assumed where the pilot has one seed.
    """

    problems: int | None = None
    seeds: int | None = None
    power: float = 0.8
    seed_sd: float = 0.02


@dataclass(frozen=True)
class Row:
    """What a plan can decide of one claim, by its weakest test; reason: why nothing is known.

    effect: of the pilot, its distance from the margin. problems, seeds: as planned.
    """

    claim: str
    contrast: str = ""
    effect: float = math.nan
    problems: int = 0
    seeds: int = 0
    power: float = math.nan
    smallest: float = math.nan
    more_problems: int | None = None
    more_seeds: int | None = None
    assumed: bool = False
    flagged: bool = True
    reason: str = ""


def power(configfile: Path, results: Path | None, plan: Plan) -> str:
    """Return what a study can decide, as Markdown."""
    folder = Path("config")
    graph = StudyGraph(load_study(read_yaml(configfile), folder), load_published(folder))
    where = results or Path("results") / graph.study.study
    return markdown(rows_of(graph, where, plan), plan, graph.study.study)


def rows_of(graph: StudyGraph, results: Path, plan: Plan) -> list[Row]:
    """Return one row for each claim. Raises RestemError where there are no results."""
    paths = sorted({results / draws.path / "metrics.parquet" for draws in graph.evaluations()})
    found = [path for path in paths if path.is_file()]
    if not found:
        raise RestemError(
            "there are no results of a pilot",
            str(results),
            "run the study, or a smaller one with the same names, and name its folder: --results",
        )
    aliases = [(asdict(owner), asdict(alias)) for owner, alias in graph.aliases]
    rows = list(all_rows(aliases, found))
    by_claim: dict[str, list[Row]] = {}
    for claim, contrast, effect in effects(graph.study.tested_claims, rows, graph.study.metrics):
        row = _row(claim, contrast, effect, plan, graph.study.metrics.confidence)
        by_claim.setdefault(claim.id, []).append(row)
    return [min(tests, key=_strength) for tests in by_claim.values()]


def _strength(row: Row) -> float:
    return -1.0 if row.reason else row.power


def _row(claim: Claim, contrast: str, effect: Effect | str, plan: Plan, confidence: float) -> Row:
    if isinstance(effect, str):
        return Row(claim.id, contrast, reason=effect)
    pilot = Design(effect.problems, max(effect.seeds, 1))
    parts = variances_of(effect.estimate, pilot, effect.policies, plan.seed_sd)
    design = Design(plan.problems or pilot.problems, plan.seeds or pilot.seeds)
    distance = _distance(claim, effect.estimate.point)
    head: dict[str, Any] = {"effect": distance, **asdict(design)}
    head["assumed"] = effect.policies > 0 and not effect.estimate.by_seed
    if effect.policies and design.seeds < LEAST_SEEDS:
        return Row(claim.id, contrast, **head, power=0.0, smallest=math.inf)
    chance = power_of(abs(distance), parts, design, confidence)
    wanted = (abs(distance), confidence, plan.power)
    return Row(
        claim.id,
        contrast,
        **head,
        power=chance,
        smallest=smallest_effect(parts, design, confidence, plan.power),
        more_problems=problems_needed(parts, design.seeds, *wanted),
        more_seeds=seeds_needed(parts, design.problems, *wanted) if effect.policies else None,
        flagged=chance < plan.power,
    )


def _distance(claim: Claim, point: float) -> float:
    """Return how far an effect lies on the expected side of the margin; negative: on the other."""
    return {
        "above": point - claim.margin,
        "below": -claim.margin - point,
        "within": claim.margin - abs(point),
    }[claim.expect]


def markdown(rows: Sequence[Row], plan: Plan, study: str) -> str:
    """Write a table of the claims; those that the plan does not decide are marked."""
    headers = ("claim", "effect of the pilot", "problems", "seeds", "power", "smallest effect",
               "problems needed", "seeds needed", "")  # fmt: skip
    flagged = [row.claim for row in rows if row.flagged]
    lines = [
        f"# What {study} can decide\n",
        table(headers, "lrrrrrrrl", [list(_cells(row)) for row in rows]),
        f"\nEffects are distances from the margin in points, of a claim's weakest test. Smallest "
        f"effect: decided with a power of {plan.power:g}. Needed: to decide the pilot's effect, "
        "which is itself uncertain, with the other number as planned.",
    ]
    if any(row.assumed for row in rows):
        lines.append(
            f"The pilot has one seed, so trainings are assumed to vary by {100 * plan.seed_sd:g} "
            "points (--seed-sd)."
        )
    lines.append(f"Not decided by this plan: {', '.join(flagged) or 'none'}.")
    return "\n".join(lines)


def _cells(row: Row) -> Iterator[str]:
    yield row.claim
    if row.reason:
        yield from ("",) * 7
        yield row.reason
        return
    yield f"{100 * row.effect:+.1f}"
    yield str(row.problems)
    yield str(row.seeds)
    yield f"{row.power:.2f}"
    yield f"{100 * row.smallest:.1f}" if math.isfinite(row.smallest) else "none"
    for needed in (row.more_problems, row.more_seeds):
        yield "none" if needed is None else str(needed)
    yield f"undecided: {row.contrast}" if row.flagged else ""
