"""Tell a person at a terminal how far sampling is; a log gets its beginning and its end."""

import sys
import time
from collections.abc import Callable
from typing import Final, TextIO

from restem.sampling.engine import Completion

_SECONDS: Final = 1.0


class Progress:
    """Rewrite one line: completions, tokens a second, the share that is finished, time left."""

    def __init__(
        self,
        total: int,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._total, self._clock = total, clock
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._started = self._told = clock()
        self._done = self._tokens = 0

    def add(self, group: list[Completion]) -> None:
        """Count finished completions, and tell when a second has passed."""
        self._done += len(group)
        self._tokens += sum(completion.tokens for completion in group)
        if self._live and self._clock() - self._told >= _SECONDS:
            self._told = self._clock()
            self._stream.write(f"\r\x1b[K{self.line()}")
            self._stream.flush()

    def line(self) -> str:
        """Return the line that a person reads."""
        elapsed = max(self._clock() - self._started, 1e-9)
        left = elapsed / self._done * (self._total - self._done) if self._done else float("inf")
        share = self._done / self._total if self._total else 1.0
        return (
            f"samples: {self._done}/{self._total} completions ({share:.0%}), "
            f"{self._tokens / elapsed:.0f} tokens/s, {_duration(left)} left"
        )

    def close(self) -> None:
        """Wipe the line."""
        if self._live:
            self._stream.write("\r\x1b[K")
            self._stream.flush()


def _duration(seconds: float) -> str:
    if seconds == float("inf"):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
