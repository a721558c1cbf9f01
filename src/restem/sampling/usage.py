"""Count what drawing costs: tokens, time, memory; interruptions included, kept draws not."""

import time
from collections.abc import Mapping
from typing import Any

from restem.sampling.engine import Completion, Engine

_NOTHING = {
    "draws": 0,
    "prompt_tokens": 0,
    "cached_tokens": 0,
    "generated_tokens": 0,
    "wall_seconds": 0.0,
    "gpu_seconds": 0.0,
    "peak_memory_bytes": 0,
}


class Ledger:
    """Count since the engine began to load.

    prompt_tokens counts every draw's whole prompt, cached_tokens what of it was not computed
    again; gpu_seconds is wall time times GPUs held.
    """

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._began = time.monotonic()
        self._draws = self._tokens = 0
        self._told = dict(_NOTHING)

    def watch(self, engine: Engine) -> None:
        """Take prompt tokens, GPUs and memory from a loaded engine."""
        self._engine = engine

    def add(self, group: list[Completion]) -> None:
        """Count finished completions."""
        self._draws += len(group)
        self._tokens += sum(one.tokens for one in group)

    def total(self) -> dict[str, Any]:
        """Return what was spent so far."""
        if self._engine is None:
            return dict(_NOTHING)
        usage, wall = self._engine.usage(), round(time.monotonic() - self._began, 3)
        return {
            "draws": self._draws,
            "prompt_tokens": usage.prompt_tokens,
            "cached_tokens": usage.cached_tokens,
            "generated_tokens": self._tokens,
            "wall_seconds": wall,
            "gpu_seconds": round(wall * usage.gpus, 3),
            "peak_memory_bytes": usage.peak_memory_bytes,
        }

    def taken(self) -> dict[str, Any]:
        """Return what was spent since this was last asked, for the part that is saved now."""
        total = self.total()
        taken = {name: total[name] - self._told[name] for name in total}
        self._told = total
        return {**taken, "peak_memory_bytes": total["peak_memory_bytes"]}


def summed(entries: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Add ledgers up; memory is the highest."""
    found = {name: sum(entry[name] for entry in entries) for name in _NOTHING}
    found["peak_memory_bytes"] = max((e["peak_memory_bytes"] for e in entries), default=0)
    return {name: round(value, 3) for name, value in found.items()}
