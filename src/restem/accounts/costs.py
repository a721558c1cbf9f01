"""Add up what was spent: tokens, floating-point operations, seconds, by artifact and by use.

Tokens come from the artifacts themselves, seconds from their seals (a job that was put back keeps
those of its making). Cached prompt tokens are the engine's own count; without one, of a problem's
draws the first pays the prompt and the others find it cached.
FLOPs are counted, not measured: 2 a parameter for a token that passes forward, 6 for one that is
trained on (Kaplan et al. 2020, section 2.1; attention over the context is left out). Validation
inside an M-step is in its seconds, not in its tokens.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from restem.artifacts.store import read_seal
from restem.artifacts.tables import read_rows, read_table
from restem.policies.manifest import PolicyManifest, read_policy

FORWARD: Final = 2
TRAINING: Final = 6


@dataclass(frozen=True)
class Cost:
    """What something cost; adding up is all that is done with it."""

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
        """Return the sum, entry by entry."""
        return Cost(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


def total(costs: Iterable[Cost]) -> Cost:
    """Return the sum of some costs."""
    return sum(costs, Cost())


def cost_of_samples(path: Path, parameters: int) -> Cost:
    """Return what the completions of one table cost, given the policy's number of parameters."""
    columns = read_table(path, "samples").select(["problem_id", "prompt_tokens", "tokens"])
    rows = columns.to_pylist()
    first = {row["problem_id"]: row["prompt_tokens"] for row in rows}
    prompts = sum(row["prompt_tokens"] for row in rows)
    generated = sum(row["tokens"] for row in rows)
    cached = _measured(path).get("cached_tokens", prompts - sum(first.values()))
    computed = max(prompts - cached, 0)
    flops = float(FORWARD * parameters * (computed + generated))
    return Cost(len(rows), computed, cached, generated, 0, flops) + _clock(path)


def cost_of_policy(path: Path, parameters: int) -> Cost:
    """Return what an M-step cost; a base model, a prompt or a mean of weights trains no token."""
    tokens = read_policy(path).report.get("tokens") or {}
    trained = sum(tokens.get(name, 0) for name in ("prefix", "prompt", "target"))
    flops = float(TRAINING * parameters * trained)
    return Cost(trained_tokens=trained, flops=flops) + _clock(path)


def read_costs(path: Path) -> Iterator[tuple[str, Cost]]:
    """Yield every cost of a table of costs, with the address of what it is of."""
    for row in read_rows(path, "costs"):
        yield row.pop("name"), Cost(**row)


def parameters_of(policy: PolicyManifest) -> int:
    """Count the parameters of a policy's checkpoint, from the headers of its weights alone."""
    files = (policy.checkpoint / name for name in policy.files if name.endswith(".safetensors"))
    return sum(_parameters(file) for file in files)


def _parameters(file: Path) -> int:
    with file.open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(size))
    tensors = (entry for name, entry in header.items() if name != "__metadata__")
    return sum(math.prod(entry["shape"]) for entry in tensors)


def sums(
    groups: Mapping[str, Mapping[str, Sequence[str]]], costs: Mapping[str, Cost]
) -> list[dict[str, Any]]:
    """Return one row for each group, what is named twice counted once.

    groups: by scope (policy, variant, experiment, study) and name, the addresses of policies and
    completions.
    """
    rows = []
    for scope, named in groups.items():
        for name, paths in named.items():
            found = total(costs[path] for path in dict.fromkeys(paths))
            rows.append({"scope": scope, "name": name, **vars(found)})
    return rows


def _measured(path: Path) -> dict[str, Any]:
    """Return what the engine counted, where it counted all of the table's draws."""
    seal = read_seal(path)
    found: dict[str, Any] = seal["notes"].get("ledger", {}) if seal else {}
    return found if found.get("draws", 0) > 0 else {}


def _clock(path: Path) -> Cost:
    seal = read_seal(path)
    if seal is None:
        return Cost()
    seconds, notes = float(seal["seconds"]), seal["notes"]
    gpu = notes.get("ledger", {}).get("gpu_seconds", seconds * int(notes.get("gpus", 0)))
    return Cost(seconds=seconds, cpu_seconds=notes.get("cpu_seconds", 0.0), gpu_seconds=gpu)
