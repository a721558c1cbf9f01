"""Where a fine-tuning run stands, kept beside its output so that a killed run goes on from there.

A state is a whole: weights, optimiser, what was measured, random generators. It is written to a
temporary name, synced and renamed, so that whatever kills the run leaves the last whole one.
"""

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final

import torch

from restem.artifacts.digests import file_digest

ENDED: Final = 128 + signal.SIGTERM


class Interrupted(SystemExit):
    """End the process the way SIGTERM does, after the state is saved."""

    def __init__(self) -> None:
        super().__init__(ENDED)


@dataclass
class Keeper:
    """Save and find the state of one run.

    folder: for states only; key: names the run's recipe, a state of another one is swept; seconds:
    time between two saves; part: of a state that several processes save, each its own.
    """

    folder: Path
    key: str
    seconds: float
    part: str = "whole"

    def __post_init__(self) -> None:
        self._saved_at = time.monotonic()
        self._remove(set(self._states()))

    @property
    def due(self) -> bool:
        """Tell whether it is time to save."""
        return time.monotonic() - self._saved_at >= self.seconds

    def save(self, state: dict[str, Any], all_saved: Callable[[], object] = lambda: None) -> None:
        """Replace the state; its file's name tells its content, so damage is noticed.

        all_saved: returns when all parts are there, so that older ones may go.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / f"{self._prefix}{os.getpid()}.tmp"
        try:
            with temporary.open("wb") as stream:
                torch.save(state, stream)
                stream.flush()
                os.fsync(stream.fileno())
            path = self.folder / f"{self._prefix}{file_digest(temporary)}.pt"
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        all_saved()
        self._remove({path})
        self._saved_at = time.monotonic()

    def states(self) -> Iterator[dict[str, Any]]:
        """Yield the states that are whole, the newest first."""
        for path in reversed(self._states()):
            if path.name == f"{self._prefix}{file_digest(path)}.pt":
                yield dict(torch.load(path, map_location="cpu", weights_only=True))

    def sweep(self) -> None:
        """Remove all states."""
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _prefix(self) -> str:
        return f"{self._recipe}{self.part}-"

    @property
    def _recipe(self) -> str:
        return f"{self.key[:32]}-"

    def _states(self) -> list[Path]:
        """List this recipe's states, the newest last; a kill may have left two."""
        return sorted(self.folder.glob(f"{self._prefix}*.pt"), key=lambda p: p.stat().st_mtime_ns)

    def _remove(self, but: set[Path]) -> None:
        for path in set(self.folder.glob("*")) - but:
            of_another_part = path.name.startswith(self._recipe)
            if path.name.startswith(self._prefix) or not of_another_part:
                path.unlink(missing_ok=True)


class Signals:
    """Note SIGTERM (save and end) and SIGUSR1 (save and go on) until they can be obeyed."""

    def __init__(self) -> None:
        self.end = self.save = self._anywhere = False

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Take the signals over; only a process's main thread can."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGUSR1)}
        try:
            signal.signal(signal.SIGTERM, self._ended)
            signal.signal(signal.SIGUSR1, self._saved)
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)

    @contextmanager
    def obeyed_anywhere(self) -> Iterator[None]:
        """Let SIGTERM interrupt whatever runs inside, which must leave the state as it is."""
        self.check()
        self._anywhere = True
        try:
            yield
        finally:
            self._anywhere = False

    def check(self) -> None:
        """Raise Interrupted if SIGTERM came."""
        if self.end:
            raise Interrupted

    def _ended(self, number: int, frame: FrameType | None) -> None:
        self.end = True
        if self._anywhere:
            raise Interrupted

    def _saved(self, number: int, frame: FrameType | None) -> None:
        self.save = True
