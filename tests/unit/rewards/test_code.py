import signal
import subprocess

import pytest

from restem.config.reward import Code, Reward
from restem.errors import RestemError
from restem.rewards import code
from restem.rewards.code import open_verifier
from restem.rewards.code_spec import Spec, read_spec
from restem.rewards.verifier import Attempt
from restem.sandbox.limits import WorkerError
from restem.sandbox.worker import Worker
from restem.tasks.grading import Grader

TRIPLE = Spec(
    kind="calls", entry="f", inputs=[[1], [2], [3]], expected=[3, 6, 9], compare="exact"
).dump()
QUICK = Code(cpu_seconds=0.4, wall_seconds=20)


@pytest.fixture(scope="module")
def verifier():
    with open_verifier(Reward(code=QUICK), ()) as opened:
        yield opened


def judged(verifier, completion, gold=TRIPLE):
    return verifier.verify([Attempt(gold, completion)], "strict")[0]


@pytest.mark.parametrize(
    ("program", "verdict", "layer", "share", "detail"),
    [
        ("def f(x): return 3 * x", "correct", "passed", 1, None),
        ("def f(x): return 3 if x == 1 else 0", "incorrect", "wrong answer", 1 / 3, "test 1 of 3"),
        ("def f(x): return 1 / (2 - x)", "incorrect", "wrong answer", 0, "test 0 of 3"),
        ("def f(x): return {1: 3, 2: 6}[x]", "incorrect", "runtime error", 2 / 3, "KeyError: 3"),
        ("def f(x):\n  while x > 1: pass\n  return 3", "timeout", "timeout", 1 / 3, "test 1 of 3"),
        ("def f(x): return bytearray(1 << 40)", "incorrect", "memory", 0, "MemoryError"),
        ("def f(x): return 'x' * (1 << 21)", "incorrect", "output limit", 0, "bytes"),
        ("import os\ndef f(x): os.chroot('/')", "incorrect", "forbidden", 0, "filter"),
        ("def f(x): return (", "incorrect", "runtime error", 0, "SyntaxError"),
        ("def g(x): return 3 * x", "incorrect", "runtime error", 0, "NameError"),
        ("   ", "unextractable", "no program found", 0, None),
    ],
)
def test_every_outcome_is_told_with_its_first_failing_test(
    verifier, program, verdict, layer, share, detail
):
    result = judged(verifier, program)
    assert (result.verdict, result.layer) == (verdict, layer)
    assert result.fraction == pytest.approx(share)
    assert result.reward == (layer == "passed")
    assert detail is None or detail in result.detail


def test_verdicts_come_in_order_and_each_program_runs_once(verifier, monkeypatch):
    seen = []
    true = code.judge
    monkeypatch.setattr(
        code, "judge", lambda *arguments: seen.append(arguments[2]) or true(*arguments)
    )
    programs = [f"def f(x): return {n} * x  # once" for n in (3, 4, 3, 5, 3, 4)]
    verdicts = verifier.verify([Attempt(TRIPLE, program) for program in programs], "strict")
    assert [verdict.reward for verdict in verdicts] == [1, 0, 1, 0, 1, 0]
    verifier.verify([Attempt(TRIPLE, program) for program in programs], "flexible")
    assert len(seen) == 3


def test_without_early_stop_every_test_counts():
    reward = Reward(code=Code(cpu_seconds=0.4, stop_at_first_failure=False))
    with open_verifier(reward, ()) as verifier:
        for body, share in (
            ("if x == 2: return 0", 2 / 3),
            ("if x == 1: 1 / 0", 2 / 3),
            ("if x == 2:\n    while True: pass", 2 / 3),
            ("import os; os._exit(0) if x == 1 else None", 2 / 3),
        ):
            result = judged(verifier, f"def f(x):\n  {body}\n  return 3 * x")
            assert result.fraction == pytest.approx(share), result
            assert result.reward == 0


@pytest.mark.parametrize("tests", ["apart", "whole"])
def test_results_of_assertions_count_one_by_one(verifier, tests):
    lines = ["assert candidate(1) == 3", "assert candidate(2) == 7", "assert candidate(3) == 9"]
    if tests == "whole":
        lines.append("assert abs(candidate(4) - 12) < 1e-9")
    source = "def check(candidate):\n" + "".join(f"    {line}\n" for line in lines)
    gold = Spec(kind="asserts", entry="f", bind="candidate", tests=source).dump()
    result = judged(verifier, "def f(x): return 3 * x", gold)
    assert (result.layer, result.fraction) == ("wrong answer", 1 / len(lines))
    assert "test 1 of" in result.detail


def test_objects_of_the_prompt_travel_to_the_program_and_back(verifier):
    classes = "class Node:\n    def __init__(self, value, after=None):\n"
    classes += "        self.value, self.after = value, after\n"
    tests = "def check(candidate):\n    node = candidate(Node(1, Node(2)))\n"
    tests += "    assert (node.value, node.after.value, node.after.after) == (2, 1, None)\n"
    gold = Spec(
        kind="asserts",
        entry="turn",
        bind="candidate",
        preamble=classes,
        classes=["Node"],
        tests=tests,
    ).dump()
    program = "def turn(node):\n    return Node(node.after.value, Node(node.value))\n"
    assert judged(verifier, program, gold).verdict == "correct"
    assert judged(verifier, "def turn(node): return node", gold).layer == "wrong answer"
    forged = "class Node:\n    __eq__ = lambda *a: True\ndef turn(node): return Node()\n"
    assert judged(verifier, forged, gold).verdict == "incorrect"


def test_tests_that_fail_by_themselves_are_an_error_of_the_data(verifier):
    gold = Spec(
        kind="asserts",
        entry="f",
        bind="candidate",
        tests="def check(candidate):\n    x = undefined\n    assert candidate(1) == x\n",
    ).dump()
    result = judged(verifier, "def f(x): return 1", gold)
    assert (result.verdict, result.layer) == ("error", "broken tests")


def test_a_failing_worker_is_replaced_and_the_verdict_is_right(verifier, monkeypatch):
    true, calls = Worker.launch, []

    def launch(self, *arguments):
        calls.append(arguments)
        if len(calls) % 2:
            self._process.kill() if self._process else None
            raise WorkerError("pulled the plug")
        return true(self, *arguments)

    monkeypatch.setattr(Worker, "launch", launch)
    for number in range(10, 14):
        assert judged(verifier, f"def f(x): return {number} * x // {number} * 3").reward == 1


def test_a_worker_that_is_killed_in_the_middle_is_replaced(verifier):
    for pair in verifier._pairs:
        pair.programs.start()
        pair.programs._process.kill()
    assert judged(verifier, "def f(x): return x + x + x").verdict == "correct"
    frozen = verifier._pairs[0].programs
    if frozen._process is not None:
        frozen._process.send_signal(signal.SIGCONT)


def test_a_sandbox_that_keeps_failing_is_an_error_and_never_a_reward_of_zero(monkeypatch):
    with open_verifier(Reward(code=QUICK), ()) as verifier:

        def fail(*arguments):
            raise WorkerError("no room")

        monkeypatch.setattr(Worker, "launch", fail)
        attempt = Attempt(TRIPLE, "def f(x): return x * 3")
        result = verifier.verify([attempt], "strict")[0]
        assert (result.verdict, result.layer) == ("error", "infrastructure error")
        assert "no room" in result.detail
        with pytest.raises(RestemError, match="the verifier failed on 1 of 1"):
            Grader(verifier, "strict").verdicts([attempt])
        monkeypatch.undo()
        assert verifier.verify([attempt], "strict")[0].verdict == "correct"


def test_nothing_runs_on_after_the_verifier_is_closed():
    with open_verifier(Reward(code=QUICK), ()) as verifier:
        judged(verifier, "def f(x): return 3 * x")
        started = [pair.programs._process.pid for pair in verifier._pairs if pair.programs._process]
    assert started
    for pid in started:
        assert subprocess.run(["ps", "-p", str(pid)], capture_output=True).returncode == 1


@pytest.mark.parametrize(
    "gold",
    [
        "",
        "{}",
        "[]",
        "5",
        '{"kind": "stdin"}',
        '{"kind": "calls", "inputs": [[1]], "expected": []}',
        '{"kind": "calls", "inputs": [1], "expected": [1], "compare": "exact"}',
        '{"kind": "stdin", "inputs": [1], "expected": ["1"]}',
        '{"kind": "stdin", "inputs": ["1"], "expected": ["1"], "compare": "exact"}',
        '{"kind": "asserts", "tests": " "}',
        '{"kind": "asserts", "tests": "x", "secret": 1}',
    ],
)
def test_what_is_no_specification_of_tests_is_refused(gold):
    with pytest.raises(RestemError, match="tests of a problem cannot be read"):
        read_spec(gold)


def test_a_specification_survives_its_text():
    assert read_spec(TRIPLE).dump() == TRIPLE
