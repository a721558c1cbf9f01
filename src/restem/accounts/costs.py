"""Add up what artifacts cost: tokens, floating-point operations, seconds.

Tokens come from the artifacts themselves, seconds from their seals (a restored artifact keeps those
of the job that computed it). Cached prompt tokens are the engine's own count. Without such a count,
the first draw of a problem is charged with the prompt, and the other draws find it cached.

FLOPs are calculated, not measured: per parameter, 2 for a token of a forward pass and 6 for a token
that is trained on (Kaplan et al. 2020, section 2.1, without attention over the context). The cost
of validation during an M-step is in its seconds, but not in its tokens.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from restem.artifacts.seals import read_seal
from restem.artifacts.tables import read_rows, read_table
from restem.policies.manifest import read_policy

FORWARD: Final = 2  # FLOPs per parameter and token
TRAINING: Final = 6


@dataclass(frozen=True)
class Cost:
    """The cost of an artifact or of several; costs can be added."""

    draws: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    generated_tokens: int = 0
    trained_tokens: int = 0
    flops: float = 0.0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    gpu_seconds: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        """Return the sum, field by field."""
        return Cost(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


def total(costs: Iterable[Cost]) -> Cost:
    """Return the sum of some costs."""
    return sum(costs, Cost())


def cost_of_samples(path: Path, parameters: int) -> Cost:
    """Return the cost of a table of completions, given the policy's number of parameters."""
    columns = read_table(path, "samples").select(["problem_id", "prompt_tokens", "tokens"])
    rows = columns.to_pylist()
    prompt_tokens_by_problem = {row["problem_id"]: row["prompt_tokens"] for row in rows}
    prompt_tokens = sum(row["prompt_tokens"] for row in rows)
    generated = sum(row["tokens"] for row in rows)
    times, usage = _recorded(path)
    cached = prompt_tokens - sum(prompt_tokens_by_problem.values())
    if usage.get("draws", 0) > 0:  # the engine counted
        cached = usage.get("cached_tokens", cached)
    computed = max(prompt_tokens - cached, 0)
    flops = float(FORWARD * parameters * (computed + generated))
    return times + Cost(len(rows), computed, cached, generated, flops=flops)


def cost_of_policy(path: Path, parameters: int) -> Cost:
    """Return the cost of an M-step, which has no trained tokens if no weights were fitted."""
    tokens = read_policy(path).report.get("tokens") or {}
    trained = sum(tokens.get(name, 0) for name in ("prefix", "prompt", "target"))
    flops = float(TRAINING * parameters * trained)
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


def read_costs(path: Path) -> Iterator[tuple[str, Cost]]:
    """Yield the address and the cost of every row in a table of costs."""
    for row in read_rows(path, "costs"):
        yield row.pop("name"), Cost(**row)


def sum_by_group(
    groups: Mapping[str, Mapping[str, Sequence[str]]], costs: Mapping[str, Cost]
) -> list[dict[str, Any]]:
    """Return one row for each group, in which every artifact counts once.

    groups: addresses of policies and completions, by scope (policy, variant, experiment, study)
    and name.
    """
    return [
        {"scope": scope, "name": name, **vars(total(costs[path] for path in dict.fromkeys(paths)))}
        for scope, groups_of_scope in groups.items()
        for name, paths in groups_of_scope.items()
    ]
