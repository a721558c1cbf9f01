"""Judge one program by its tests: what it does in the sandbox against what is expected outside."""

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal

from restem.rewards.code_asserts import RECORDER, Case, recorded, take_apart
from restem.rewards.code_spec import Spec
from restem.rewards.compare import as_sequences, equal, printed, truth
from restem.rewards.program import before_entry
from restem.sandbox.inside.wire import pack
from restem.sandbox.limits import Failure, Limits, ProgramError
from restem.sandbox.scripts import run_script
from restem.sandbox.session import Session, open_session
from restem.sandbox.worker import Worker

Outcome = Literal["passed", "wrong answer"] | Failure
SHOWN_CHARACTERS: Final = 200
# What test code that runs whole may name without an import of its own, as after many programs.
TEST_IMPORTS: Final = "import collections, itertools, math, random, re, string, sys\n"


@dataclass(frozen=True)
class Judgement:
    """What became of a program: its outcome, the tests passed of all, the first failing one."""

    outcome: Outcome
    passed: int
    total: int
    first_failing: int | None = None
    detail: str = ""


@dataclass(frozen=True)
class Workers:
    """The two workers of a judge: programs run in one, test code that stays whole in the other."""

    programs: Worker
    tests: Worker

    def close(self) -> None:
        """End both."""
        self.programs.close()
        self.tests.close()


class BrokenTestsError(Exception):
    """Report test code that fails before it has asked for a single result."""


Result = tuple[Outcome, str]


def judge(
    workers: Workers, spec: Spec, programs: Sequence[str], limits: Limits, stop: bool
) -> Judgement:
    """Judge a program, given its readings; stop: at the first failing test.

    Raises WorkerError when the sandbox fails, BrokenTestsError when the tests do.
    """
    if spec.kind == "stdin":
        return _tally(_printing(workers.programs, spec, programs, limits), len(spec.inputs), stop)
    if spec.kind == "calls":
        cases: Sequence[_Question] = _calls(spec)
    elif (found := _cases(spec)) is not None:
        cases = found
    else:
        return _judge_whole(workers, spec, programs, limits, stop)
    return _tally(_asking(workers.programs, spec, programs, limits, cases), len(cases), stop)


def _tally(results: Generator[Result], total: int, stop: bool) -> Judgement:
    """Count results; the first failure gives the outcome."""
    passed, failed = 0, None
    with closing(results):
        for index, (outcome, detail) in enumerate(results):
            passed += outcome == "passed"
            if outcome != "passed" and failed is None:
                failed = (index, outcome, detail)
            if failed and stop:
                break
    if failed is None:
        return Judgement("passed", passed, total)
    return Judgement(failed[1], passed, total, failed[0], failed[2])


def _printing(
    worker: Worker, spec: Spec, programs: Sequence[str], limits: Limits
) -> Generator[Result]:
    same = printed(spec.compare)
    for text, expected in zip(spec.inputs, spec.expected, strict=True):
        try:
            output = run_script(worker, spec.preamble, programs, text, limits)
        except ProgramError as problem:
            yield problem.failure, problem.detail
            continue
        told = f"printed {_shown(output)}, expected {_shown(expected)}"
        yield ("passed", "") if same(output, expected) else ("wrong answer", told)


@dataclass(frozen=True)
class _Question:
    """What to ask of a program, and how to judge the claim that comes back."""

    request: dict[str, Any]
    case: Case
    sequences: bool = False

    def holds(self, claim: Any) -> bool:
        case = self.case
        if case.relation != "==":
            return truth(claim) is (case.relation == "true")
        if not self.sequences:
            return equal(claim, case.expected)
        claim, wrapped = as_sequences(claim), case.expected
        return equal(claim, wrapped) or (
            isinstance(wrapped, list) and bool(wrapped) and equal(claim, wrapped[0])
        )


def _calls(spec: Spec) -> list[_Question]:
    sequences = spec.compare == "sequences"
    return [
        _Question({"call": pack((arguments, {}))}, Case("", "==", expected), sequences)
        for arguments, expected in zip(spec.inputs, spec.expected, strict=True)
    ]


def _cases(spec: Spec) -> list[_Question] | None:
    cases = _apart(spec.tests, spec.bind, spec.entry)
    return [_Question({"eval": case.expression}, case) for case in cases] if cases else None


@lru_cache(maxsize=4096)
def _apart(tests: str, bind: str, entry: str) -> list[Case] | None:
    return take_apart(Spec(kind="asserts", tests=tests, bind=bind, entry=entry))


def _asking(
    worker: Worker,
    spec: Spec,
    programs: Sequence[str],
    limits: Limits,
    questions: Sequence[_Question],
) -> Generator[Result]:
    """Ask question by question; after a program has died, a new process takes the rest."""
    waiting = list(questions)
    while waiting:
        loaded = False
        try:
            with open_session(worker, _job(spec, programs), len(waiting), limits) as session:
                _load(session)
                loaded = True
                while waiting:
                    yield _answer(session, waiting[0])
                    waiting.pop(0)
        except ProgramError as problem:
            lost = waiting[:1] if loaded else waiting
            waiting = waiting[len(lost) :]
            yield from [(problem.failure, problem.detail)] * len(lost)


def _job(spec: Spec, programs: Sequence[str]) -> dict[str, Any]:
    job = {"mode": "calls", "programs": list(programs), "preamble": spec.preamble}
    job |= {"setup": spec.setup, "bind": spec.bind, "classes": spec.classes}
    return job | {"entry": spec.entry if spec.bind or spec.kind == "calls" else ""}


def _load(session: Session) -> None:
    reply = session.receive()
    if "error" in reply:
        raise _program_error(reply)


def _answer(session: Session, question: _Question) -> Result:
    session.send(question.request)
    reply = session.receive()
    if "error" in reply:
        problem = _program_error(reply)
        return problem.failure, problem.detail
    claim = reply.get("value")
    if question.holds(claim):
        return "passed", ""
    told = f"returned {_shown(claim)}, expected {_shown(question.case.expected)}"
    return "wrong answer", told


def _program_error(reply: dict[str, Any]) -> ProgramError:
    is_memory = reply["error"] == "MemoryError"
    failure: Failure = "memory" if is_memory else "runtime error"
    return ProgramError(failure, str(reply.get("text", "")), fatal=False)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"


def _judge_whole(
    workers: Workers, spec: Spec, programs: Sequence[str], limits: Limits, stop: bool
) -> Judgement:
    """Run test code whole, beside the program and out of its reach."""
    code, total = recorded(spec)
    job: dict[str, Any] = {"mode": "tests", "tests": code, "stop": stop, "recorder": RECORDER}
    job |= {"setup": _test_setup(spec), "classes": spec.classes}
    job["names"] = [name for name in (spec.bind, spec.entry) if name.isidentifier()]
    calls = _apart_job(spec, programs)
    try:
        with open_session(workers.programs, calls, max(total, 1), limits) as program:
            _load(program)
            with open_session(workers.tests, job, max(total, 1), limits) as tests:
                return _converse(program, tests, total)
    except ProgramError as problem:
        return Judgement(problem.failure, 0, total, 0, problem.detail)


def _test_setup(spec: Spec) -> str:
    """Return what test code may use: imports, and helpers that the prompt itself defines."""
    lines = spec.setup.splitlines()  # the rest of a set-up may need the program's own classes
    imports = "\n".join(line for line in lines if line.startswith(("import ", "from ")))
    helpers = before_entry(spec.prefix, spec.entry)
    return f"{TEST_IMPORTS}{imports}\n{spec.preamble}\n{helpers}"


def _apart_job(spec: Spec, programs: Sequence[str]) -> dict[str, Any]:
    return _job(spec, programs) | {"setup": "", "entry": spec.entry}


def _converse(program: Session, tests: Session, total: int) -> Judgement:
    """Carry calls from the tests to the program and results back, until the tests are done."""
    passed, recorded_, asked = 0, 0, 0
    failed: tuple[int, Outcome, str] | None = None
    trouble: ProgramError | None = None
    while True:
        try:
            message = tests.receive()
        except ProgramError as problem:
            # Tests that a claim has driven too far have failed; only silent ones are broken.
            failed = failed or (recorded_, "wrong answer", f"the tests: {problem.failure}")
            return Judgement(failed[1], passed, max(total, recorded_ + 1), *failed[::2])
        if "ask" in message:
            asked += 1
            reply, trouble = _relay(program, message["ask"], trouble)
            tests.send(reply)
        elif "assert" in message:
            passed += bool(message["assert"])
            if not message["assert"] and failed is None:
                failed = _reason(recorded_, trouble, message.get("text"))
            recorded_ += 1
        else:
            return _concluded(message.get("done"), failed, trouble, passed, recorded_, total, asked)


def _relay(
    program: Session, call: Any, trouble: ProgramError | None
) -> tuple[dict[str, Any], ProgramError | None]:
    """Put one call to the program; once it has died, every call fails as the first one did."""
    if trouble is not None and trouble.fatal:
        return {"error": trouble.failure}, trouble
    try:
        program.send({"call": call})
        reply = program.receive()
        if "error" in reply:
            raise _program_error(reply)
        return {"value": reply.get("value")}, None
    except ProgramError as problem:
        return {"error": problem.failure}, problem


def _reason(index: int, trouble: ProgramError | None, text: Any) -> tuple[int, Outcome, str]:
    if trouble is not None:
        return index, trouble.failure, trouble.detail
    return index, "wrong answer", str(text or "the assertion does not hold")


def _concluded(
    broken: Any,
    failed: tuple[int, Outcome, str] | None,
    trouble: ProgramError | None,
    passed: int,
    recorded_: int,
    total: int,
    asked: int,
) -> Judgement:
    if broken and not asked:
        raise BrokenTestsError(str(broken)[-500:])
    if broken and failed is None:
        failed = _reason(recorded_, trouble, broken)
    total = max(total, recorded_ + bool(broken))
    if failed is None:
        return Judgement("passed", passed, max(recorded_, 1) if passed else total)
    return Judgement(failed[1], passed, total, *failed[::2])
