"""Count what sampling uses, and show its progress."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, TextIO

from restem.sampling.engine import Completion, Engine

_REFRESH_SECONDS: Final = 1.0
_NO_USAGE: Final = {
    "draws": 0,
    "prompt_tokens": 0,
    "cached_tokens": 0,
    "generated_tokens": 0,
    "wall_seconds": 0.0,
    "gpu_seconds": 0.0,
    "peak_memory_bytes": 0,
}


class UsageCounter:
    """Count tokens, time and memory from the loading of an engine on.

    prompt_tokens counts every draw's whole prompt, cached_tokens the part of it that was not
    computed again; gpu_seconds is wall time times the number of GPUs.
    """

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._started = time.monotonic()
        self._draws = self._tokens = 0
        self._counted_before = dict(_NO_USAGE)

    def attach(self, engine: Engine) -> None:
        """Read prompt tokens, GPUs and memory from a loaded engine."""
        self._engine = engine

    def add(self, completions: Sequence[Completion]) -> None:
        """Count finished completions."""
        self._draws += len(completions)
        self._tokens += sum(completion.tokens for completion in completions)

    def total(self) -> dict[str, Any]:
        """Return the usage so far."""
        if self._engine is None:
            return dict(_NO_USAGE)
        usage, wall = self._engine.usage(), round(time.monotonic() - self._started, 3)
        return {
            "draws": self._draws,
            "prompt_tokens": usage.prompt_tokens,
            "cached_tokens": usage.cached_tokens,
            "generated_tokens": self._tokens,
            "wall_seconds": wall,
            "gpu_seconds": round(wall * usage.gpus, 3),
            "peak_memory_bytes": usage.peak_memory_bytes,
        }

    def since_last_call(self) -> dict[str, Any]:
        """Return the usage since the last call, to be saved with the draws that it was for."""
        total = self.total()
        difference = {name: total[name] - self._counted_before[name] for name in total}
        self._counted_before = total
        return {**difference, "peak_memory_bytes": total["peak_memory_bytes"]}


def sum_usage(usages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Sum usages; of memory return the maximum."""
    total = {name: round(sum(usage[name] for usage in usages), 3) for name in _NO_USAGE}
    total["peak_memory_bytes"] = max((u["peak_memory_bytes"] for u in usages), default=0)
    return total


class Progress:
    """Show on a terminal, in one line, how far sampling is; write nothing to a log."""

    def __init__(
        self,
        total: int,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._total, self._clock = total, clock
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._started = self._shown = clock()
        self._done = self._tokens = 0

    def add(self, completions: Sequence[Completion]) -> None:
        """Count finished completions; rewrite the line at most once a second."""
        self._done += len(completions)
        self._tokens += sum(completion.tokens for completion in completions)
        if self._clock() - self._shown >= _REFRESH_SECONDS:
            self._shown = self._clock()
            self._replace_line(self.line())

    def line(self) -> str:
        """Return completions, share done, tokens a second and time remaining."""
        elapsed = max(self._clock() - self._started, 1e-9)
        remaining: object = "?"
        if self._done:
            seconds = elapsed / self._done * (self._total - self._done)
            remaining = timedelta(seconds=round(seconds))
        share = self._done / self._total if self._total else 1.0
        return (
            f"samples: {self._done}/{self._total} completions ({share:.0%}), "
            f"{self._tokens / elapsed:.0f} tokens/s, {remaining} left"
        )

    def close(self) -> None:
        """Clear the line."""
        self._replace_line("")

    def _replace_line(self, text: str) -> None:
        if self._live:
            self._stream.write(f"\r\x1b[K{text}")
            self._stream.flush()
