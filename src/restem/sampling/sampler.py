"""Sample the draws that are missing, and save them so that an interruption changes nothing.

The last digits of a draw's log-probability, and so at a near-tie its text, may depend on what is
decoded beside it. So an engine says how many draws it wants together. Such a *unit* follows from
the whole list of requests, not from those that remain; it is saved as a whole, and sampled again
from its start if the job was killed in the middle of it. An engine whose draws do not depend on
each other, or come from one random stream, has one unit, and every finished draw of it is saved.
"""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Final

from restem.artifacts.digests import digest
from restem.config.decoding import Decoding
from restem.sampling.engine import BadPrompts, Completion, Engine, Request
from restem.sampling.pool import Key, Pool, Row, key_of, keys_of, request_digest
from restem.sampling.usage import Progress, UsageCounter

SAVE_SECONDS: Final = 20.0


def units(requests: Sequence[Request], draws: int | None) -> Iterator[list[Request]]:
    """Split requests into units of about `draws` draws, with prompts of similar lengths."""
    if draws is None:
        yield list(requests)
        return
    unit: list[Request] = []
    count = 0
    for request in sorted(requests, key=lambda r: (r.prefix, len(r.prompt), r.problem_id)):
        unit.append(request)
        count += len(request.draws)
        if count >= draws:
            yield unit
            unit, count = [], 0
    if unit:
        yield unit


def without_rows(requests: Iterable[Request], rows: Mapping[Key, Row]) -> list[Request]:
    """Reduce requests to the draws that have no row yet."""
    reduced = []
    for request in requests:
        missing = [key for key in keys_of(request) if key not in rows]
        if missing:
            _, draws, seeds = zip(*missing, strict=True)
            reduced.append(replace(request, draws=draws, seeds=seeds))
    return reduced


def stream_seed(missing: Iterable[Request]) -> int:
    """Return the 32-bit seed of an engine that makes some draws in one stream of random numbers.

    It follows from the addresses of just these draws. So a job that goes on after an interruption,
    or that adds draws, does not repeat the stream that made those that are kept.
    """
    keys = sorted(key for request in missing for key in keys_of(request))
    return int(digest(keys)[:8], 16)


class Sampler:
    """Sample one job's draws into a pool and a dictionary of rows.

    refused: errors of prompts that cannot be continued. empty: problem of each completion without
    text.
    """

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
        self._unsaved: list[Row] = []
        self._saved_at = time.monotonic()
        self._saving: Future[None] | None = None

    def sample(self, requests: Sequence[Request], usage: UsageCounter, progress: Progress) -> None:
        """Sample those draws of some requests that have no row yet."""
        save_whole_units = self._engine.unit_draws is not None
        digests = {request.problem_id: request_digest(request) for request in requests}
        version = self._engine.version
        with ThreadPoolExecutor(1) as writer:
            try:
                for unit in units(requests, self._engine.unit_draws):
                    unit_rows: list[Row] = []
                    for group in self._sample_unit(without_rows(unit, self._rows)):
                        progress.add(group)
                        usage.add(group)
                        self.empty += [c.problem_id for c in group if not c.text.strip()]
                        unit_rows += [c.row(digests[c.problem_id], version) for c in group]
                        if not save_whole_units:
                            self._unsaved, unit_rows = self._unsaved + unit_rows, []
                            self._save(writer, usage, SAVE_SECONDS)
                    self._unsaved += unit_rows
                    self._save(writer, usage, SAVE_SECONDS)
            finally:
                progress.close()
                self._save(writer, usage, 0)
        self._wait_for_save()

    def _sample_unit(self, requests: list[Request]) -> Iterator[list[Completion]]:
        """Sample a unit; prompts that cannot be continued are noted, the others are sampled."""
        while requests:
            try:
                groups = self._engine.sample(requests, self._decoding, self._stop)
            except BadPrompts as error:
                self.refused.append(error)
                requests = [r for r in requests if r.problem_id not in error.problem_ids]
                continue
            yield from groups
            return

    def _save(self, writer: ThreadPoolExecutor, usage: UsageCounter, after_seconds: float) -> None:
        """Save new rows in the background, so that the engine need not wait for the disk."""
        if not self._unsaved or time.monotonic() - self._saved_at < after_seconds:
            return
        self._wait_for_save()
        rows, self._unsaved, self._saved_at = self._unsaved, [], time.monotonic()
        self._rows.update({key_of(row): row for row in rows})
        self._saving = writer.submit(self._pool.save, rows, usage.since_last_call())

    def _wait_for_save(self) -> None:
        """Wait until the last save is done; raise its error."""
        if self._saving:
            self._saving.result()
