"""Judge a program by its tests: run it in the sandbox, compare its results outside."""

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal

from restem.rewards.code_asserts import RECORDER, Case, cases_of, recorded
from restem.rewards.code_extraction import before_entry
from restem.rewards.code_outputs import EQUAL_TEXT, as_sequences, equal_value, truth
from restem.rewards.code_spec import Spec
from restem.sandbox.inside.wire import pack
from restem.sandbox.limits import Failure, Limits, ProgramError
from restem.sandbox.programs import Session, open_session, run_script
from restem.sandbox.worker import Worker

TestOutcome = Literal["passed", "wrong answer"] | Failure
SHOWN_CHARACTERS: Final = 200
# Benchmarks' test code relies on imports of the module that it is appended to.
TEST_IMPORTS: Final = "import collections, itertools, math, random, re, string, sys\n"


@dataclass(frozen=True)
class Judgement:
    """The outcome of a program, how many of its tests passed, and the first failing test."""

    outcome: TestOutcome
    passed: int
    total: int
    first_failing: int | None = None
    detail: str = ""


@dataclass(frozen=True)
class WorkerPair:
    """The two workers of a judge: one runs programs, the other test code that runs as it is."""

    programs: Worker
    tests: Worker

    def close(self) -> None:
        """End both."""
        self.programs.close()
        self.tests.close()


class BrokenTestsError(Exception):
    """Report test code that fails before it has called the program."""


@dataclass(frozen=True)
class _Check:
    """A request to a program, and how to judge the claim that comes back."""

    request: dict[str, Any]
    case: Case
    sequences: bool = False

    def accepts(self, claim: Any) -> bool:
        case = self.case
        if case.relation != "==":
            return truth(claim) is (case.relation == "true")
        if not self.sequences:
            return equal_value(claim, case.expected)
        claim, expected = as_sequences(claim), case.expected
        return equal_value(claim, expected) or (
            isinstance(expected, list) and bool(expected) and equal_value(claim, expected[0])
        )


Result = tuple[TestOutcome, str]
"""The outcome of one test, and its detail."""
Failed = tuple[int, TestOutcome, str]
"""The index of a failing test, its outcome and its detail."""


def judge(
    workers: WorkerPair, spec: Spec, programs: Sequence[str], limits: Limits, stop: bool
) -> Judgement:
    """Judge a program, given its readings. stop: end at the first failing test.

    Raises WorkerError when the sandbox fails, BrokenTestsError when the tests do.
    """
    if spec.kind == "stdin":
        results = _run_with_inputs(workers.programs, spec, programs, limits)
        return _tally(results, len(spec.inputs), stop)
    checks = _calls(spec) if spec.kind == "calls" else _asserts(spec)
    if not checks:
        return _judge_with_test_code(workers, spec, programs, limits, stop)
    results = _run_checks(workers.programs, spec, programs, limits, checks)
    return _tally(results, len(checks), stop)


def _tally(results: Generator[Result], total: int, stop: bool) -> Judgement:
    """Count results; the first failure decides the outcome."""
    passed, failure = 0, None
    with closing(results):
        for index, (outcome, detail) in enumerate(results):
            passed += outcome == "passed"
            if outcome != "passed" and failure is None:
                failure = (index, outcome, detail)
            if failure and stop:
                break
    return _judgement(failure, passed, total)


def _judgement(failure: Failed | None, passed: int, total: int) -> Judgement:
    if failure is None:
        return Judgement("passed", passed, total)
    index, outcome, detail = failure
    return Judgement(outcome, passed, total, index, detail)


def _run_with_inputs(
    worker: Worker, spec: Spec, programs: Sequence[str], limits: Limits
) -> Generator[Result]:
    equal = EQUAL_TEXT[spec.compare]
    for text, expected in zip(spec.inputs, spec.expected, strict=True):
        try:
            output = run_script(worker, spec.preamble, programs, text, limits)
        except ProgramError as error:
            yield error.failure, error.detail
            continue
        mismatch = f"printed {_shown(output)}, expected {_shown(expected)}"
        yield ("passed", "") if equal(output, expected) else ("wrong answer", mismatch)


def _calls(spec: Spec) -> list[_Check]:
    sequences = spec.compare == "sequences"
    return [
        _Check({"call": pack((arguments, {}))}, Case("", "==", expected), sequences)
        for arguments, expected in zip(spec.inputs, spec.expected, strict=True)
    ]


def _asserts(spec: Spec) -> list[_Check]:
    """Return the checks of assertions; none where the test code must run as it is."""
    cases = _cases(spec.tests, spec.bind, spec.entry)
    return [_Check({"eval": case.expression}, case) for case in cases]


@lru_cache(maxsize=4096)
def _cases(tests: str, bind: str, entry: str) -> list[Case]:
    return cases_of(Spec(kind="asserts", tests=tests, bind=bind, entry=entry)) or []


def _run_checks(
    worker: Worker, spec: Spec, programs: Sequence[str], limits: Limits, checks: Sequence[_Check]
) -> Generator[Result]:
    """Run one check after the other; when the program dies, a new process does the rest."""
    waiting = list(checks)
    while waiting:
        loaded = False
        try:
            with open_session(worker, _job(spec, programs), len(waiting), limits) as session:
                _load(session)
                loaded = True
                while waiting:
                    yield _run_check(session, waiting[0])
                    waiting.pop(0)
        except ProgramError as error:
            failed = waiting[:1] if loaded else waiting
            waiting = waiting[len(failed) :]
            yield from [(error.failure, error.detail)] * len(failed)


def _job(spec: Spec, programs: Sequence[str]) -> dict[str, Any]:
    job = {"mode": "calls", "programs": list(programs), "preamble": spec.preamble}
    job |= {"setup": spec.setup, "bind": spec.bind, "classes": spec.classes}
    return job | {"entry": spec.entry if spec.bind or spec.kind == "calls" else ""}


def _load(session: Session) -> None:
    reply = session.receive()
    if "error" in reply:
        raise _program_error(reply)


def _run_check(session: Session, check: _Check) -> Result:
    session.send(check.request)
    reply = session.receive()
    if "error" in reply:
        error = _program_error(reply)
        return error.failure, error.detail
    claim = reply.get("value")
    if check.accepts(claim):
        return "passed", ""
    return "wrong answer", f"returned {_shown(claim)}, expected {_shown(check.case.expected)}"


def _program_error(reply: dict[str, Any]) -> ProgramError:
    is_memory = reply["error"] == "MemoryError"
    failure: Failure = "memory" if is_memory else "runtime error"
    return ProgramError(failure, str(reply.get("text", "")), fatal=False)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"


# ---- test code that runs as it is ----


def _judge_with_test_code(
    workers: WorkerPair, spec: Spec, programs: Sequence[str], limits: Limits, stop: bool
) -> Judgement:
    """Run test code in a sandbox of its own, out of the program's reach."""
    code, total = recorded(spec)
    tests_job: dict[str, Any] = {"mode": "tests", "tests": code, "stop": stop}
    tests_job |= {"recorder": RECORDER, "setup": _test_setup(spec), "classes": spec.classes}
    tests_job["names"] = [name for name in (spec.bind, spec.entry) if name.isidentifier()]
    program_job = _job(spec, programs) | {"setup": "", "entry": spec.entry}
    try:
        with open_session(workers.programs, program_job, max(total, 1), limits) as program:
            _load(program)
            with open_session(workers.tests, tests_job, max(total, 1), limits) as tests:
                return _Conversation(program, tests, total).judgement()
    except ProgramError as error:
        return Judgement(error.failure, 0, total, 0, error.detail)


def _test_setup(spec: Spec) -> str:
    """Return what test code may use: imports, and helpers that the prompt itself defines."""
    lines = spec.setup.splitlines()  # other lines of a set-up may need the program's own classes
    imports = "\n".join(line for line in lines if line.startswith(("import ", "from ")))
    helpers = before_entry(spec.prefix, spec.entry)
    return f"{TEST_IMPORTS}{imports}\n{spec.preamble}\n{helpers}"


@dataclass
class _Conversation:
    """Carries calls from the tests to the program and results back, and counts assertions.

    error: of the program's last call. failure: index, outcome and detail of the first failing
    assertion.
    """

    program: Session
    tests: Session
    total: int
    calls: int = 0
    assertions: int = 0
    passed: int = 0
    error: ProgramError | None = None
    failure: Failed | None = None

    def judgement(self) -> Judgement:
        """Run the tests to their end. Raises BrokenTestsError when they fail by themselves."""
        while True:
            try:
                message = self.tests.receive()
            except ProgramError as error:
                # A claim drove the tests beyond their limits, so they have failed.
                self._fail("wrong answer", f"the tests: {error.failure}")
                total = max(self.total, self.assertions + 1)
                return _judgement(self.failure, self.passed, total)
            if "ask" in message:
                self.calls += 1
                self.tests.send(self._reply(message["ask"]))
            elif "assert" in message:
                self._count(bool(message["assert"]), message.get("text"))
            else:
                return self._end(message.get("done"))

    def _reply(self, call: Any) -> dict[str, Any]:
        """Pass a call to the program; once it has died, every call fails as the first one did."""
        if self.error is not None and self.error.fatal:
            return {"error": self.error.failure}
        try:
            self.program.send({"call": call})
            reply = self.program.receive()
            if "error" in reply:
                raise _program_error(reply)
        except ProgramError as error:
            self.error = error
            return {"error": error.failure}
        self.error = None
        return {"value": reply.get("value")}

    def _count(self, holds: bool, text: Any) -> None:
        if holds:
            self.passed += 1
        else:
            self._fail_by_program(text or "the assertion does not hold")
        self.assertions += 1

    def _end(self, exception: Any) -> Judgement:
        """Judge the program when the tests have ended, with an exception or without."""
        if exception and not self.calls:
            raise BrokenTestsError(str(exception)[-500:])
        if exception:
            self._fail_by_program(exception)
        total = max(self.total, self.assertions + bool(exception))
        if self.failure is None and self.passed:
            total = max(self.assertions, 1)
        return _judgement(self.failure, self.passed, total)

    def _fail_by_program(self, text: Any) -> None:
        if self.error is not None:
            self._fail(self.error.failure, self.error.detail)
        else:
            self._fail("wrong answer", str(text))

    def _fail(self, outcome: TestOutcome, detail: str) -> None:
        self.failure = self.failure or (self.assertions, outcome, detail)
