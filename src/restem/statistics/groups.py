"""Group problems by subject, by level or by difficulty, and estimate each group separately.

Difficulty (figure 8) is the share of the base model's draws that are correct: easy 75-100 %,
medium 50-75 %, hard 25-50 %, very hard below 25 %. These draws come from a decoding that nothing
else is measured with. If the same draws both sorted the problems and gave the base model's result,
the bins would show gains and losses that do not exist (regression to the mean).

Groups by subject come with a macro average, as BIG-Bench Hard is reported (figure 9): every
subject has the same weight, whatever the number of its problems.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from itertools import groupby
from typing import Final

from restem.config.claims import EACH
from restem.config.metrics import Metrics
from restem.errors import RestemError
from restem.statistics.evaluation import BASE, Row, lifts, summarise
from restem.statistics.macro import macro_averages

BINS: Final = (("easy", 0.75), ("medium", 0.5), ("hard", 0.25), ("very hard", 0.0))
MEAN: Final = "mean"  # the group that holds the macro average over all subjects
COLUMNS: Final = (
    *("task", "split", "model", "variant", "iteration", "decoding", "quantity", "problems"),
    *("seeds", "seed", "estimate", "low", "high"),
)
Key = tuple[str, str, str, str, str]
"""Task, split, kind of group, group, and model (empty if groups are the same for all models)."""


def bin_of(correct: int, draws: int) -> str:
    """Return the difficulty bin of a problem; a problem on a border is in the easier bin."""
    return next(name for name, share in BINS if correct >= share * draws)


def problems_by_group(rows: Iterable[Row], settings: Metrics) -> dict[Key, frozenset[str]]:
    """Return the problems of every group."""
    groups: dict[Key, set[str]] = defaultdict(set)
    for row in rows:
        if row["halted"] is not None:
            continue
        place, problem = (row["task"], row["split"]), row["problem_id"]
        if row["subject"]:
            groups[(*place, "subject", row["subject"], "")].add(problem)
        if row["level"] is not None:
            groups[(*place, "level", str(row["level"]), "")].add(problem)
        if row["variant"] == BASE and row["decoding"] == settings.difficulty:
            difficulty = bin_of(row["correct"], row["draws"])
            groups[(*place, "difficulty", difficulty, row["model"])].add(problem)
    return {key: frozenset(problems) for key, problems in groups.items()}


def break_down(rows: Sequence[Row], settings: Metrics, references: Collection[str]) -> list[Row]:
    """Estimate every quantity, and every lift over a reference, in every group of problems."""
    _check(rows, settings)
    measured = [row for row in rows if row["decoding"] != settings.difficulty]
    estimates: list[Row] = []
    for key, problems in sorted(problems_by_group(rows, settings).items()):
        task, split, kind, group, model = key
        if kind not in settings.breakdowns:
            continue
        of_group = [
            row for row in measured
            if (row["task"], row["split"]) == (task, split)
            and (not model or row["model"] == model)
            and (row["halted"] is not None or row["problem_id"] in problems)
        ]  # fmt: skip
        place = {"kind": kind, "group": group}
        estimates += [row | place for row in _estimates(of_group, settings, references)]
    if "subject" in settings.breakdowns:
        estimates += _macro_averages(measured, settings, references)
    return estimates


def _macro_averages(
    rows: Sequence[Row], settings: Metrics, references: Collection[str]
) -> list[Row]:
    """Average the estimates of every task that has several subjects over its subjects."""
    estimates: list[Row] = []
    groups = problems_by_group(rows, settings)
    keys = sorted(key for key in groups if key[2] == "subject")
    for (task, split), of_task in groupby(keys, key=lambda key: key[:2]):
        strata = {key[3]: groups[key] for key in of_task}
        for name in {MEAN, EACH} & strata.keys():
            raise RestemError(
                f"a subject is called {name!r}, which stands for all of them",
                f"problems of {task}, split {split}",
                "give the subject another name in the task's module",
            )
        if len(strata) > 1:
            task_rows = [row for row in rows if (row["task"], row["split"]) == (task, split)]
            fitting = _fitting(task_rows, settings)
            averages = macro_averages(task_rows, list(strata.values()), fitting, references)
            estimates += [row | {"kind": "subject", "group": MEAN} for row in averages]
    return estimates


def _estimates(rows: Sequence[Row], settings: Metrics, references: Collection[str]) -> list[Row]:
    if all(row["halted"] is not None for row in rows):
        return []
    fitting = _fitting(rows, settings)
    over_all = [row | {"seed": None} for row in lifts(rows, fitting, references)]
    return [
        {name: row[name] for name in COLUMNS} | {"reference": row.get("reference")}
        for row in [*summarise(rows, fitting), *over_all]
    ]


def _fitting(rows: Sequence[Row], settings: Metrics) -> Metrics:
    """Leave out every k above the largest number of draws in these rows."""
    draws = max((int(row["draws"]) for row in rows if row["halted"] is None), default=1)
    return settings.model_copy(update={"ks": tuple(k for k in settings.ks if k <= draws) or (1,)})


def _check(rows: Sequence[Row], settings: Metrics) -> None:
    if "difficulty" not in settings.breakdowns:
        return
    if not any(row["decoding"] == settings.difficulty for row in rows):
        raise RestemError(
            "there are no draws to sort the problems by difficulty",
            f"metrics.difficulty: {settings.difficulty}",
            "evaluate the base model with that decoding: "
            "{task: ..., split: test, decoding: ..., variants: []}",
        )
