"""The saved state of a fine-tuning run, from which a run that was killed goes on.

A state is complete: weights, optimiser, measurements, random generators. It is written to a
temporary file, synced and renamed, so that the last complete one survives a kill at any moment.
"""

import os
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

TERMINATED: Final = 128 + signal.SIGTERM


class Interrupted(SystemExit):
    """End the process with the exit code of SIGTERM, after the state is saved."""

    def __init__(self) -> None:
        super().__init__(TERMINATED)


@dataclass
class StateStore:
    """Save and find the state of one run.

    folder: for states only. key: identifies the run's recipe; states of others are deleted.
    interval_seconds: time between two saves. part: of a state that several processes save, each its
    own.
    """

    folder: Path
    key: str
    interval_seconds: float
    part: str = "whole"

    def __post_init__(self) -> None:
        self._recipe_prefix = f"{self.key[:32]}-"
        self._prefix = f"{self._recipe_prefix}{self.part}-"
        self._saved_at = time.monotonic()
        self._delete_except(set(self._paths()))

    @property
    def due(self) -> bool:
        """Tell whether it is time to save."""
        return time.monotonic() - self._saved_at >= self.interval_seconds

    def save(
        self, state: dict[str, Any], wait_for_parts: Callable[[], object] = lambda: None
    ) -> None:
        """Replace the state; the file's name contains its digest, so that damage is noticed.

        wait_for_parts: returns when all parts are saved, so that older ones may be deleted.
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
        wait_for_parts()
        self._delete_except({path})
        self._saved_at = time.monotonic()

    def states(self) -> Iterator[dict[str, Any]]:
        """Yield the undamaged states, newest first."""
        for path in reversed(self._paths()):
            if path.name == f"{self._prefix}{file_digest(path)}.pt":
                yield dict(torch.load(path, map_location="cpu", weights_only=True))

    def _paths(self) -> list[Path]:
        """Return this recipe's states, newest last; a kill may have left two."""
        return sorted(self.folder.glob(f"{self._prefix}*.pt"), key=lambda p: p.stat().st_mtime_ns)

    def _delete_except(self, kept: set[Path]) -> None:
        for path in set(self.folder.glob("*")) - kept:
            is_own = path.name.startswith(self._prefix)
            if is_own or not path.name.startswith(self._recipe_prefix):
                path.unlink(missing_ok=True)


class Signals:
    """Note SIGTERM (save and end) and SIGUSR1 (save and go on) until the run can act on them."""

    def __init__(self) -> None:
        self.end = self.save = self._interrupt_at_once = False

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Handle the signals; only a process's main thread can."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        handlers = {signal.SIGTERM: self._on_terminate, signal.SIGUSR1: self._on_user_signal}
        before = {number: signal.getsignal(number) for number in handlers}
        try:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            yield
        finally:
            for number, old_handler in before.items():
                signal.signal(number, old_handler)

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Let SIGTERM interrupt the body anywhere, which must not change the run's state."""
        self.check()
        self._interrupt_at_once = True
        try:
            yield
        finally:
            self._interrupt_at_once = False

    def check(self) -> None:
        """Raise Interrupted if SIGTERM has come."""
        if self.end:
            raise Interrupted

    def _on_terminate(self, number: int, frame: FrameType | None) -> None:
        self.end = True
        if self._interrupt_at_once:
            raise Interrupted

    def _on_user_signal(self, number: int, frame: FrameType | None) -> None:
        self.save = True
