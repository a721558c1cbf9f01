"""Verify programs by their tests, in a sandbox whose walls are probed before the first program.

    with open_verifier(Reward(), ()) as verifier:
        verdicts = verifier.verify([Attempt(gold, completion)], "strict")

`gold` holds the tests as `restem.rewards.code_spec` describes them. A verdict's layer says what
happened: passed, wrong answer, runtime error, timeout, memory, output limit, forbidden, no program
found, broken tests, or infrastructure error, which is our failure and not the program's.
"""

import os
import queue
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final

from restem.config.reward import Reward
from restem.rewards.code_asserts import deciding_tests
from restem.rewards.code_extraction import readings
from restem.rewards.code_judge import BrokenTestsError, Judgement, WorkerPair, judge
from restem.rewards.code_spec import read_spec
from restem.rewards.verifier import INFRASTRUCTURE, Attempt, Outcome, Verdict
from restem.sandbox.limits import Limits
from restem.sandbox.probe import require_walls
from restem.sandbox.worker import Worker

TRIES: Final = 3

_Program = tuple[str, tuple[str, ...]]
"""A gold answer, and the readings of a completion."""


class CodeVerifier:
    """Verify programs in parallel, equal ones only once; owns the workers that run them."""

    def __init__(self, reward: Reward, workers: int) -> None:
        code = reward.code
        self._stop = code.stop_at_first_failure
        self._held_back = code.held_back
        self._limits = Limits(
            cpu_seconds=code.cpu_seconds,
            wall_seconds=code.wall_seconds,
            memory_mib=code.memory_mib,
            output_bytes=code.output_kib << 10,
        )
        self._pairs = [
            WorkerPair(Worker(code.packages), Worker(code.packages)) for _ in range(workers)
        ]
        self._idle: queue.SimpleQueue[WorkerPair] = queue.SimpleQueue()
        for pair in self._pairs:
            self._idle.put(pair)
        self._threads = ThreadPoolExecutor(workers, "sandbox")
        self._verdicts: dict[_Program, Verdict] = {}

    def verify(self, attempts: Sequence[Attempt], mode: str) -> list[Verdict]:
        """Return one verdict per attempt, in order; mode `flexible` also reads code in prose."""
        programs = [_program(attempt, mode == "flexible") for attempt in attempts]
        new = [program for program in dict.fromkeys(programs) if program not in self._verdicts]
        verdicts = dict(zip(new, self._threads.map(self._verdict, new), strict=True))
        # Our own failures are not kept, so that the next call tries again.
        self._verdicts |= {k: v for k, v in verdicts.items() if v.verdict != "error"}
        return [self._verdicts.get(program) or verdicts[program] for program in programs]

    def close(self) -> None:
        """End the workers and all processes that they started."""
        self._threads.shutdown(cancel_futures=True)
        for pair in self._pairs:
            pair.close()

    def _verdict(self, program: _Program) -> Verdict:
        gold, texts = program
        if not texts:
            return Verdict("unextractable", None, "no program found", passed=0.0)
        failure = ""
        pair = self._idle.get()
        try:
            for _ in range(TRIES):
                try:
                    spec = deciding_tests(gold, self._held_back)
                    return _verdict_of(judge(pair, spec, texts, self._limits, self._stop), texts[0])
                except BrokenTestsError as error:
                    return Verdict("error", texts[0], "broken tests", str(error), 0.0)
                except Exception as error:  # one program must not end the grading of the others
                    failure = f"{type(error).__name__}: {error}"
                    pair.close()
        finally:
            self._idle.put(pair)
        return Verdict("error", texts[0], INFRASTRUCTURE, failure, 0.0)


def _program(attempt: Attempt, flexible: bool) -> _Program:
    spec = read_spec(attempt.gold)
    return attempt.gold, tuple(readings(attempt.completion, spec.prefix, spec.entry, flexible))


def _verdict_of(judgement: Judgement, program: str) -> Verdict:
    detail = judgement.detail
    if judgement.first_failing is not None:
        detail = f"test {judgement.first_failing} of {judgement.total}: {detail}".rstrip(": ")
    outcome: Outcome = "correct" if judgement.outcome == "passed" else "incorrect"
    if judgement.outcome == "timeout":
        outcome = "timeout"
    fraction = judgement.passed / judgement.total
    return Verdict(outcome, program, judgement.outcome, detail or None, fraction)


@contextmanager
def open_verifier(reward: Reward, markers: tuple[str, ...]) -> Iterator[CodeVerifier]:
    """Probe the sandbox, then open the verifier of programs; code has no `markers`.

    Raises SandboxError where a wall of the sandbox is missing.
    """
    require_walls()
    verifier = CodeVerifier(reward, len(os.sched_getaffinity(0)))
    try:
        yield verifier
    finally:
        verifier.close()
