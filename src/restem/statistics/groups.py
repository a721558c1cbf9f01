"""Sort problems into groups: by subject, by level, by how often the base model solves them.

Difficulty (figure 8): easy 75-100 %, medium 50-75 %, hard 25-50 %, very hard below 25 % of the base
model's draws are right. The draws come from a decoding that nothing else is measured under: were
the same draws to sort the problems and to give the base model's result, the bins would show a gain
and a loss where there is none (regression to the mean).

Groups by subject have a macro average beside them, as BIG-Bench Hard is reported (figure 9): every
subject counts alike, however many problems it has.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Final

from restem.config.metrics import Metrics
from restem.errors import RestemError
from restem.statistics.evaluation import BASE, Row, lifts, summarise
from restem.statistics.macro import macro_averages

BINS: Final = (("easy", 0.75), ("medium", 0.5), ("hard", 0.25), ("very hard", 0.0))
MEAN: Final = "mean"  # the group that stands for the macro average over all subjects
COLUMNS: Final = (
    *("task", "split", "model", "variant", "iteration", "decoding", "quantity", "problems"),
    *("seeds", "estimate", "low", "high"),
)
Key = tuple[str, str, str, str, str]
"""Task, split, kind of the group, its name, and the model (empty where groups are the same)."""


def bin_of(correct: int, draws: int) -> str:
    """Name the bin of a problem of which so many draws are right; a border is the easier bin's."""
    return next(name for name, least in BINS if correct >= least * draws)


def problems_by_group(rows: Iterable[Row], settings: Metrics) -> dict[Key, frozenset[str]]:
    """Return the problems of every group."""
    found: dict[Key, set[str]] = defaultdict(set)
    for row in rows:
        if row["halted"] is not None:
            continue
        place, name = (row["task"], row["split"]), row["problem_id"]
        if row["subject"]:
            found[(*place, "subject", row["subject"], "")].add(name)
        if row["level"] is not None:
            found[(*place, "level", str(row["level"]), "")].add(name)
        if row["variant"] == BASE and row["decoding"] == settings.difficulty:
            group = bin_of(row["correct"], row["draws"])
            found[(*place, "difficulty", group, row["model"])].add(name)
    return {key: frozenset(names) for key, names in found.items()}


def break_down(rows: Sequence[Row], settings: Metrics) -> list[Row]:
    """Estimate every quantity, and every lift over a reference, in every group of problems."""
    _check(rows, settings)
    measured = [row for row in rows if row["decoding"] != settings.difficulty]
    found: list[Row] = []
    for key, names in sorted(problems_by_group(rows, settings).items()):
        task, split, kind, group, model = key
        if kind not in settings.breakdowns:
            continue
        mine = [
            row for row in measured
            if (row["task"], row["split"]) == (task, split)
            and (not model or row["model"] == model)
            and (row["halted"] is not None or row["problem_id"] in names)
        ]  # fmt: skip
        found += [{**row, "kind": kind, "group": group} for row in _estimates(mine, settings)]
    if "subject" in settings.breakdowns:
        found += _macro_averages(measured, settings)
    return found


def _macro_averages(rows: Sequence[Row], settings: Metrics) -> list[Row]:
    """Average the estimates of every task with several subjects over these."""
    found: list[Row] = []
    groups = problems_by_group(rows, settings)
    keys = sorted(key for key in groups if key[2] == "subject")
    for (task, split), mine in groupby(keys, key=lambda key: key[:2]):
        strata = {key[3]: groups[key] for key in mine}
        if MEAN in strata:
            raise RestemError(
                f"a subject is called {MEAN!r}, like the macro average",
                f"problems of {task}, split {split}",
                "give the subject another name in the task's module",
            )
        if len(strata) > 1:
            told = [row for row in rows if (row["task"], row["split"]) == (task, split)]
            averages = macro_averages(told, list(strata.values()), _fitting(told, settings))
            found += [{**row, "kind": "subject", "group": MEAN} for row in averages]
    return found


def _estimates(rows: Sequence[Row], settings: Metrics) -> list[Row]:
    if not any(row["halted"] is None for row in rows):
        return []
    fitting = _fitting(rows, settings)
    whole = [row for row in summarise(rows, fitting) if row["seed"] is None]
    plain = [{**_only(row, COLUMNS), "reference": None} for row in whole]
    return plain + [_only(row, (*COLUMNS, "reference")) for row in lifts(rows, fitting)]


def _fitting(rows: Sequence[Row], settings: Metrics) -> Metrics:
    """Leave out the k that no decoding of some rows drew enough for."""
    most = max((int(row["draws"]) for row in rows if row["halted"] is None), default=1)
    return settings.model_copy(update={"ks": tuple(k for k in settings.ks if k <= most) or (1,)})


def _only(row: Mapping[str, object], names: Iterable[str]) -> Row:
    return {name: row[name] for name in names}


def _check(rows: Sequence[Row], settings: Metrics) -> None:
    sorts = {row["task"] for row in rows if row["decoding"] == settings.difficulty}
    if "difficulty" in settings.breakdowns and not sorts:
        raise RestemError(
            "nothing says how difficult the problems are",
            f"metrics.difficulty: {settings.difficulty}",
            "evaluate the base model under that decoding: "
            "{task: ..., split: test, decoding: ..., variants: []}",
        )
