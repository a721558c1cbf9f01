"""Record how a job goes while it runs, for whoever follows it: lines of JSON beside its seal.

The clock and the machine decide what is in such a file, so it is no part of the artifact. Its lines
are a header with the recipe and the settings, measurements by step, and the end. A job that was
killed goes on in the same file; another recipe begins a new one.
"""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from restem.artifacts.files import write_text
from restem.artifacts.seals import HIDDEN, Recipe, state_path

_SUFFIX: Final = ".progress.jsonl"

Outcome = Literal["finished", "failed", "killed"]


@dataclass
class Progress:
    """How a job went so far.

    key: of its recipe; started, ended: seconds since the epoch; outcome: None while it runs, or
    after a kill that left it no time. curves: (step, value, time) by name, in the order of steps.
    """

    key: str
    settings: Mapping[str, Any]
    started: float
    ended: float | None = None
    outcome: Outcome | None = None
    curves: dict[str, list[tuple[int, float, float]]] = field(default_factory=dict)


class ProgressFile:
    """The file of one job, to which each call adds one line."""

    def __init__(self, first_output: Path) -> None:
        self.path = state_path(first_output, _SUFFIX.removeprefix("."))

    def add(self, **values: Any) -> None:
        """Add a line of values and the time; a full disk must not end the job that is measured."""
        with suppress(OSError), self.path.open("a") as stream:
            stream.write(json.dumps({"time": round(time.time(), 3), **values}) + "\n")

    @contextmanager
    def of(self, recipe: Recipe) -> Iterator[None]:
        """Record the start of a job, and how it ends."""
        earlier = read_progress(self.path)
        if earlier is None or earlier.key != recipe.key:
            write_text(self.path, "")
        elif not self.path.read_text().endswith("\n"):
            with self.path.open("a") as stream:  # a kill left half a line
                stream.write("\n")
        self.add(key=recipe.key, settings=recipe.settings)
        outcome: Outcome = "finished"
        try:
            yield
        except BaseException as problem:
            outcome = "failed" if isinstance(problem, Exception) else "killed"
            raise
        finally:
            self.add(outcome=outcome)


def progress_files(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Yield the first output and the progress file of every job below a folder that has one."""
    for path in sorted(folder.glob(f"**/{HIDDEN}/*{_SUFFIX}")):
        yield path.parent.parent / path.name.removesuffix(_SUFFIX), path


def read_progress(path: Path) -> Progress | None:
    """Return what a progress file says, or None where there is no readable one.

    Of a step that was taken twice, after a kill, the last time counts.
    """
    progress: Progress | None = None
    points: dict[str, dict[int, tuple[float, float]]] = {}
    for line in _lines(path):
        moment = line.pop("time")
        if "key" in line:
            started = progress.started if progress else moment
            progress = Progress(line["key"], line["settings"], started)
        elif progress and "outcome" in line:
            progress.ended, progress.outcome = moment, line["outcome"]
        elif "step" in line:
            step = line.pop("step")
            for name, value in line.items():
                points.setdefault(name, {})[step] = (value, moment)
    if progress:
        progress.curves = {
            name: [(step, *by_step[step]) for step in sorted(by_step)]
            for name, by_step in points.items()
        }
    return progress


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines that can be read: a kill, or an early look, leaves half a line."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError):
        return
    for line in text.splitlines():
        try:
            values = json.loads(line)
        except ValueError:
            continue
        if isinstance(values, dict) and isinstance(values.get("time"), int | float):
            yield values
