"""Draw what is missing, unit by unit, and save it so that an interruption changes nothing.

The last digits of a draw may depend on what is decoded beside it. So an engine says how many draws
it wants together: a *unit* follows from the whole request list and not from what is left of it, is
saved whole, and is drawn again from its start when the job was killed in its midst. An engine
whose draws do not depend on company has one unit, of which every finished draw is saved.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

from restem.config.decoding import Decoding
from restem.sampling.engine import BadPrompts, Completion, Engine, Request
from restem.sampling.pool import Key, Pool, key
from restem.sampling.progress import Progress
from restem.sampling.usage import Ledger

SAVE_SECONDS: Final = 20.0

Row = dict[str, Any]
Describe = Callable[[Completion], Row]


def units(requests: Sequence[Request], draws: int | None) -> Iterator[list[Request]]:
    """Split requests into units of about so many draws, prompts of about one length together."""
    if draws is None:
        yield list(requests)
        return
    unit: list[Request] = []
    count = 0
    for request in sorted(requests, key=_order):
        unit.append(request)
        count += len(request.draws)
        if count >= draws:
            yield unit
            unit, count = [], 0
    if unit:
        yield unit


def _order(request: Request) -> tuple[str, int, str]:
    return request.prefix, len(request.prompt), request.problem_id


def narrowed(
    requests: Iterable[Request], keys: Callable[[Request], list[Key]], rows: Mapping[Key, Row]
) -> list[Request]:
    """Narrow requests to the draws that are not there yet."""
    found = []
    for request in requests:
        left = [
            (draw, seed) for name, draw, seed in keys(request) if (name, draw, seed) not in rows
        ]
        if left:
            draws, seeds = zip(*left, strict=True)
            problem = (request.problem_id, request.prefix, request.prompt)
            found.append(Request(*problem, draws, seeds))
    return found


class Drawing:
    """One job's drawing into a pool of rows; `refused` holds what could not be drawn after."""

    def __init__(
        self,
        engine: Engine,
        decoding: Decoding,
        stop: tuple[str, ...],
        pool: Pool,
        rows: dict[Key, Row],
    ) -> None:
        self._engine, self._decoding, self._stop = engine, decoding, stop
        self._pool, self._rows = pool, rows
        self.refused: list[BadPrompts] = []
        self.empty: list[str] = []
        self._new: list[Row] = []
        self._saved = time.monotonic()
        self._saving: Future[None] | None = None

    def draw(
        self,
        requests: Sequence[Request],
        keys: Callable[[Request], list[Key]],
        describe: Describe,
        ledger: Ledger,
        progress: Progress,
    ) -> None:
        """Draw what `rows` lacks of some requests."""
        whole = self._engine.unit_draws is not None
        with ThreadPoolExecutor(1) as writer:
            try:
                for unit in units(requests, self._engine.unit_draws):
                    made: list[Row] = []
                    for group in self._sampled(narrowed(unit, keys, self._rows)):
                        progress.add(group)
                        ledger.add(group)
                        self.empty += [one.problem_id for one in group if not one.text.strip()]
                        (made if whole else self._new).extend(map(describe, group))
                        if not whole:
                            self._save(writer, ledger, SAVE_SECONDS)
                    self._new += made
                    self._save(writer, ledger, SAVE_SECONDS)
            finally:
                progress.close()
                self._save(writer, ledger, 0)
        self._wait()

    def _sampled(self, requests: list[Request]) -> Iterator[list[Completion]]:
        """Sample a unit; what nothing can be drawn after is put aside, the rest is drawn."""
        while requests:
            try:
                groups = self._engine.sample(requests, self._decoding, self._stop)
            except BadPrompts as problem:
                self.refused.append(problem)
                requests = [r for r in requests if r.problem_id not in problem.problem_ids]
                continue
            yield from groups
            return

    def _save(self, writer: ThreadPoolExecutor, ledger: Ledger, after_seconds: float) -> None:
        """Save new rows in the background, where the engine need not wait for the disk."""
        if not self._new or time.monotonic() - self._saved < after_seconds:
            return
        self._wait()
        new, self._new, self._saved = self._new, [], time.monotonic()
        self._rows.update({key(row): row for row in new})
        self._saving = writer.submit(self._pool.save, new, ledger.taken())

    def _wait(self) -> None:
        """Wait for the last save, and raise what went wrong in it."""
        if self._saving:
            self._saving.result()
