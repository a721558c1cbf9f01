"""Add up what artifacts cost: tokens, floating-point operations, seconds.

Tokens come from the artifacts themselves, seconds from their seals (a restored artifact keeps those
of the job that computed it). Cached prompt tokens are the engine's own count. Without such a count,
the first draw of a problem is charged with the prompt, and the other draws find it cached.

FLOPs are calculated, not measured, in one way for sampling, training and validation: see
`restem.policies.flops`. An M-step's report has those of its steps, recomputed activations included,
and those of its validations, whose tokens are in no other column.

Several policies may look at one pool of completions, each at its own number of draws and problems.
Its costs are therefore counted by cells, between the limits of its uses, and every use is charged
with its cells alone. Times, which are recorded of whole pools only, are divided like the FLOPs.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from restem.artifacts.schemas.estimates import ALONE, SHARED, SUM
from restem.artifacts.schemas.evaluation import COSTS
from restem.artifacts.schemas.loop import SAMPLES
from restem.artifacts.seals import read_seal
from restem.artifacts.tables import read_rows, read_table
from restem.config.base import Strict, share_of
from restem.policies.flops import Forward
from restem.policies.manifest import read_policy

Numbers: TypeAlias = NDArray[Any]


class Use(Strict):
    """What a name uses of one artifact: a policy, or the first draws of the first problems."""

    path: str = Field(description="Address of the policy or of the completions.")
    draws: int | None = Field(default=None, description="Draws of each problem; null for all.")
    problem_share: float = Field(default=1.0, description="Share of the problems.")
    problems: int | None = Field(default=None, description="Number of problems; null for all.")

    def first_problems(self, count: int) -> int:
        """Return how many of `count` problems are used, as the selection of examples counts."""
        used = round(share_of(self.problem_share, count))
        return used if self.problems is None else min(used, self.problems)


@dataclass(frozen=True, order=True)
class Cell:
    """A part of a pool: draws and problems below these limits, and above those of lesser cells.

    problems: of the whole split; 0 where no use is of some problems only. A policy has one cell.
    """

    below_draw: int = 0
    below_problem: int = 0
    problems: int = 0

    def is_in(self, use: Use) -> bool:
        """Tell whether a use includes this cell."""
        if use.draws is not None and self.below_draw > use.draws:
            return False
        return self.below_problem <= use.first_problems(self.problems)


@dataclass(frozen=True)
class Cost:
    """The cost of an artifact or of several; costs can be added, and divided among names."""

    draws: float = 0
    prompt_tokens: float = 0
    cached_tokens: float = 0
    generated_tokens: float = 0
    trained_tokens: float = 0
    flops: float = 0.0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    gpu_seconds: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        """Return the sum, field by field."""
        return Cost(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def times(self, factor: float) -> "Cost":
        """Return a part of the cost; its counts become fractions."""
        return Cost(*(factor * getattr(self, f.name) for f in fields(self)))


def total(costs: Iterable[Cost]) -> Cost:
    """Return the sum of some costs."""
    return sum(costs, Cost())


def cost_of_samples(path: Path, forward: Forward) -> Cost:
    """Return the cost of a table of completions, given the operations of the policy's passes."""
    return total(costs_by_cell(path, forward, ()).values())


def costs_by_cell(
    path: Path, forward: Forward, uses: Sequence[Use], problems: Sequence[str] = ()
) -> dict[Cell, Cost]:
    """Return the costs of a table of completions by cell; a use is the sum of its cells.

    forward: of the policy; uses: of the table's address; problems: all of its split, in order;
    they may be missing where every use is of all problems.
    """
    rows = read_table(path, SAMPLES, ("problem_id", "draw", "prompt_tokens", "tokens"))
    if not rows.num_rows:
        return {}
    draw = rows["draw"].to_numpy()
    prompt, generated = (rows[name].to_numpy() * 1.0 for name in ("prompt_tokens", "tokens"))
    encoded = rows["problem_id"].combine_chunks().dictionary_encode()
    names, problem = encoded.dictionary.to_pylist(), encoded.indices.to_numpy()
    first = np.full(len(names), draw.max())
    np.minimum.at(first, problem, draw)
    computed = np.where(draw == first[problem], prompt, 0.0)  # the first draw pays for the prompt
    limits = _limits(uses, problems, names, problem, draw)
    unique, cell = np.unique(limits, axis=1, return_inverse=True)
    cells = [Cell(*map(int, column)) for column in unique.T]
    amounts = {"draws": np.ones(len(draw)), "prompt": prompt, "generated": generated}
    amounts |= {"computed": computed, "sampling": forward.completion(prompt, generated)}
    amounts |= {"prompts": forward.prompt(computed)}
    sums = {name: np.bincount(cell, values, len(cells)) for name, values in amounts.items()}
    counted = ("draws", "prompt", "generated", "computed")
    counts = [Counter({n: int(sums[n][place]) for n in counted}) for place in range(len(cells))]
    times, usage = _recorded(path)
    flops = sums["sampling"] + _count_as_engine(counts, usage) * sums["prompts"]
    by_cell = dict(zip(cells, map(float, flops), strict=True))
    return _divided(dict(zip(cells, counts, strict=True)), times, by_cell)


def _limits(
    uses: Sequence[Use],
    problems: Sequence[str],
    names: Sequence[str],
    problem: Numbers,
    draw: Numbers,
) -> Numbers:
    """Return the limits of each completion's cell, shape (3, completions); see `Cell`.

    names: of the problems of the table; problem, draw: of each completion, the place in it.
    """
    draws = np.array(sorted({int(draw.max()) + 1, *(u.draws for u in uses if u.draws is not None)}))
    below_draw = draws[np.searchsorted(draws, draw, side="right")]
    count = len(problems)
    if not count:
        return np.stack([below_draw, np.zeros_like(draw), np.zeros_like(draw)])
    firsts = np.array(sorted({count, *(use.first_problems(count) for use in uses)}))
    of_split = {name: place for place, name in enumerate(problems)}
    position = np.array([of_split[name] for name in names])
    below_problem = firsts[np.searchsorted(firsts, position, side="right")][problem]
    return np.stack([below_draw, below_problem, np.full_like(below_draw, count)])


def _count_as_engine(counts: Sequence[Counter[str]], usage: Mapping[str, Any]) -> float:
    """Replace our count of computed prompt tokens by the engine's, divided in proportion.

    Returns the engine's count as a share of ours.
    """
    prompt, computed = (sum(c[name] for c in counts) for name in ("prompt", "computed"))
    if usage.get("draws", 0) <= 0 or not computed:
        return 1.0
    measured = max(prompt - usage.get("cached_tokens", prompt - computed), 0)
    before = 0
    for cell in counts:
        after = before + cell["computed"]
        # Rounded cumulatively, so that the parts add up to what the engine counted.
        cell["computed"] = after * measured // computed - before * measured // computed
        before = after
    return float(measured / computed)


def _divided(
    counts: Mapping[Cell, Counter[str]], times: Cost, flops: Mapping[Cell, float]
) -> dict[Cell, Cost]:
    """Return the costs of cells; times in proportion to the operations."""
    everything = sum(flops[cell] for cell in counts)
    return {
        cell: times.times(flops[cell] / everything if everything else 1 / len(counts))
        + Cost(
            draws=count["draws"],
            prompt_tokens=count["computed"],
            cached_tokens=max(count["prompt"] - count["computed"], 0),
            generated_tokens=count["generated"],
            flops=flops[cell],
        )
        for cell, count in counts.items()
    }


def cost_of_policy(path: Path) -> Cost:
    """Return the cost of an M-step, which has no trained tokens if no weights were fitted."""
    report = read_policy(path).report
    tokens = report.get("tokens") or {}
    trained = sum(tokens.get(name, 0) for name in ("prefix", "prompt", "target"))
    validated = sum(v.get("flops", 0) for v in report.get("validations") or ())
    flops = float(report.get("flops", 0) + validated)
    return _recorded(path)[0] + Cost(trained_tokens=trained, flops=flops)


def _recorded(path: Path) -> tuple[Cost, Mapping[str, Any]]:
    """Return the times of an artifact's job and what its engine counted, from its seal."""
    seal = read_seal(path)
    if seal is None:
        return Cost(), {}
    seconds, notes = float(seal["seconds"]), seal["notes"]
    usage = notes.get("usage", {})
    gpu_seconds = usage.get("gpu_seconds", seconds * int(notes.get("gpus", 0)))
    cpu_seconds = notes.get("cpu_seconds", 0.0)
    return Cost(seconds=seconds, cpu_seconds=cpu_seconds, gpu_seconds=gpu_seconds), usage


def read_costs(path: Path) -> Iterator[tuple[str, Cell, Cost]]:
    """Yield address, cell and cost of every row in a table of costs."""
    limits = [f.name for f in fields(Cell)]
    for row in read_rows(path, COSTS):
        name, cell = row.pop("name"), Cell(*(row.pop(limit) for limit in limits))
        yield name, cell, Cost(**row)


def sum_by_group(
    groups: Mapping[str, Mapping[str, Sequence[Use]]],
    costs: Iterable[tuple[str, Cell, Cost]],
    aliases: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    """Return what every name costs alone and shared, and after each scope the sums of both.

    groups: uses by scope (policy, variant, experiment, study) and name. aliases: other names, whose
    rows repeat those of a name and enter no sum. Alone, a name pays for all of its cells, each
    once. Shared, it pays for an equal part of each among all names of the scope that use it, so the
    sum over a scope counts everything once.
    """
    by_path: dict[str, dict[Cell, Cost]] = defaultdict(dict)
    for path, cell, cost in costs:
        by_path[path][cell] = by_path[path].get(cell, Cost()) + cost
    rows: list[dict[str, Any]] = []
    for scope, uses_by_name in groups.items():
        charged = _charged(uses_by_name, by_path)
        for charge, by_name in charged.items():
            named = {**by_name, **_aliased(by_name, aliases or {}), SUM: total(by_name.values())}
            rows += [_row(scope, name, charge, cost) for name, cost in named.items()]
    return rows


def _charged(
    uses_by_name: Mapping[str, Sequence[Use]], by_path: Mapping[str, Mapping[Cell, Cost]]
) -> dict[str, dict[str, Cost]]:
    cells = {
        name: dict.fromkeys((u.path, c) for u in uses for c in by_path[u.path] if c.is_in(u))
        for name, uses in uses_by_name.items()
    }
    users = Counter(key for used in cells.values() for key in used)
    return {
        charge: {
            name: total(
                by_path[path][cell].times(1 / users[path, cell] if charge == SHARED else 1)
                for path, cell in used
            )
            for name, used in cells.items()
        }
        for charge in (ALONE, SHARED)
    }


def _aliased(by_name: Mapping[str, Cost], aliases: Mapping[str, str]) -> dict[str, Cost]:
    return {alias: by_name[name] for alias, name in aliases.items() if name in by_name}


def _row(scope: str, name: str, charge: str, cost: Cost) -> dict[str, Any]:
    return {"scope": scope, "name": name, "charge": charge, **vars(cost)}
