"""Grade programs by their tests, in a sandbox whose walls are probed before the first program.

    with open_verifier(Reward(), ()) as verifier:
        verdicts = verifier.verify([Attempt(gold, completion)], "strict")

`gold` is the tests as `restem.rewards.code_spec` describes them. A verdict's layer says what
happened: passed, wrong answer, runtime error, timeout, memory, output limit, forbidden, no program
found, or infrastructure error, which is our failure and not the program's.
"""

import os
import queue
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final

from restem.config.reward import Reward
from restem.rewards.code_judge import BrokenTestsError, Judgement, Workers, judge
from restem.rewards.code_spec import Spec, read_spec
from restem.rewards.held_back import deciding
from restem.rewards.program import readings
from restem.rewards.verifier import INFRASTRUCTURE, Attempt, Outcome, Verdict
from restem.sandbox.limits import Limits
from restem.sandbox.probe import require_walls
from restem.sandbox.worker import Worker

ATTEMPTS: Final = 3

_Program = tuple[str, tuple[str, ...]]


class CodeVerifier:
    """Judge programs in parallel, identical ones once; own the workers that run them."""

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
        self._idle: queue.SimpleQueue[Workers] = queue.SimpleQueue()
        self._all = [Workers(Worker(code.packages), Worker(code.packages)) for _ in range(workers)]
        for pair in self._all:
            self._idle.put(pair)
        self._threads = ThreadPoolExecutor(workers, "sandbox")
        self._known: dict[_Program, Verdict] = {}

    def verify(self, attempts: Sequence[Attempt], policy: str) -> list[Verdict]:
        """Return one verdict an attempt, in order; policy says how hard a program is looked for."""
        programs = [_program(attempt, policy == "flexible") for attempt in attempts]
        new = [key for key in dict.fromkeys(programs) if key not in self._known]
        verdicts = dict(zip(new, self._threads.map(self._verdict, new), strict=True))
        # A failure of ours is not remembered: the next call tries again.
        self._known |= {k: v for k, v in verdicts.items() if v.verdict != "error"}
        return [self._known.get(key) or verdicts[key] for key in programs]

    def close(self) -> None:
        """End the workers and all that they started."""
        self._threads.shutdown(cancel_futures=True)
        for pair in self._all:
            pair.close()

    def _verdict(self, key: _Program) -> Verdict:
        gold, programs = key
        if not programs:
            return Verdict("unextractable", None, "no program found", passed=0.0)
        problem: Exception | None = None
        pair = self._idle.get()
        try:
            for _ in range(ATTEMPTS):
                try:
                    spec = deciding(gold, self._held_back)
                    judged = judge(pair, spec, programs, self._limits, self._stop)
                    return _told(judged, programs[0])
                except BrokenTestsError as failure:
                    return Verdict("error", programs[0], "broken tests", str(failure), 0.0)
                except Exception as failure:  # no program may end the others' grading
                    problem = failure
                    pair.close()
        finally:
            self._idle.put(pair)
        return Verdict(
            "error", programs[0], INFRASTRUCTURE, f"{type(problem).__name__}: {problem}", 0.0
        )


def _program(attempt: Attempt, flexible: bool) -> _Program:
    spec: Spec = read_spec(attempt.gold)
    found = readings(attempt.completion, spec.prefix, spec.entry, flexible)
    return attempt.gold, tuple(found)


def _told(judged: Judgement, program: str) -> Verdict:
    detail = judged.detail
    if judged.first_failing is not None:
        detail = f"test {judged.first_failing} of {judged.total}: {detail}".rstrip(": ")
    outcome: Outcome = "correct" if judged.outcome == "passed" else "incorrect"
    if judged.outcome == "timeout":
        outcome = "timeout"
    fraction = judged.passed / judged.total
    return Verdict(outcome, program, judged.outcome, detail or None, fraction)


@contextmanager
def open_verifier(reward: Reward, markers: tuple[str, ...]) -> Iterator[CodeVerifier]:
    """Probe the sandbox, then open the verifier of programs; `markers` mark nothing in code.

    Raises SandboxError where a wall of the sandbox is missing.
    """
    require_walls()
    verifier = CodeVerifier(reward, len(os.sched_getaffinity(0)))
    try:
        yield verifier
    finally:
        verifier.close()
