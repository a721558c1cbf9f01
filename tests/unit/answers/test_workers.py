"""A worker that hangs, dies or runs out of memory costs one reply; the others come, in order."""

import os
import textwrap

import pytest

from restem.answers import workers as workers_module
from restem.answers.workers import PairLimits, open_workers
from restem.config.reward import Reward
from restem.errors import RestemError
from restem.rewards.math import grade, open_verifier

BAD_WORKER = """
    import os, sys, time
    from restem.answers.workers import serve

    def compare(gold, answer):
        if answer == "hang":
            while True:
                pass
        if answer == "deaf":  # what no timer interrupts
            import signal
            signal.setitimer(signal.ITIMER_PROF, 0)
            while True:
                pass
        if answer == "sleep":
            time.sleep(600)
        if answer == "wait":  # as on a busy machine
            time.sleep(1.5)
        if answer == "die":
            os._exit(3)
        if answer == "burst":
            return {"equal": len(b"x" * 10**10) > 0, "layer": "never"}
        if answer == "print":
            print("a library says something", flush=True)
        if answer == "raise":
            raise RuntimeError("bug")
        if answer == "file":
            with open(sys.argv[0] + ".txt", "w") as written:
                written.write("x")
        return {"equal": gold == answer, "layer": "test"}

    serve(compare, float(sys.argv[1]), int(sys.argv[2]))
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "bad_worker.py").write_text(textwrap.dedent(BAD_WORKER))
    monkeypatch.syspath_prepend(str(tmp_path))
    return "bad_worker"


def alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_each_failure_costs_one_reply_and_the_order_is_kept(module):
    answers = ["a", "hang", "b", "die", "a", "burst", "raise", "deaf", "file", "a", "die", "c"]
    with open_workers(PairLimits(seconds=0.5, megabytes=900), module) as workers:
        replies = workers.compare([("a", answer) for answer in answers])
        again = workers.compare([("a", "a")])
    layers = [reply.layer for reply in replies]
    assert layers == [
        "test", "timeout", "test", "died", "test", "memory", "error", "timeout", "error", "test",
        "died", "test",
    ]  # fmt: skip
    equal = [reply.equal for reply in replies]
    assert equal == [True, None, False, None, True, None, None, None, None, True, None, False]
    assert again[0].equal is True


def test_time_is_what_a_worker_computes_not_what_it_waits(module, monkeypatch):
    monkeypatch.setattr(workers_module, "_WALL_FACTOR", 10.0)
    with open_workers(PairLimits(seconds=0.5), module) as workers:
        replies = workers.compare([("a", answer) for answer in ("wait", "sleep", "a")])
    assert [reply.layer for reply in replies] == ["test", "timeout", "test"]


def test_what_a_library_prints_is_no_reply(module):
    with open_workers(PairLimits(seconds=0.5), module) as workers:
        replies = workers.compare([("a", "print"), ("a", "a")])
    assert [reply.equal for reply in replies] == [False, True]


def test_no_worker_outlives_its_context(module):
    with open_workers(PairLimits(seconds=0.5), module) as workers:
        workers.compare([("a", "a"), ("a", "b"), ("a", "c")])
        processes = [worker._process.pid for worker in workers._all]
        assert all(map(alive, processes))
    assert not any(map(alive, processes))


def test_workers_end_when_their_user_fails(module):
    processes = []
    with pytest.raises(KeyError), open_workers(PairLimits(seconds=0.5), module) as workers:
        workers.compare([("a", "a")])
        processes = [worker._process.pid for worker in workers._all]
        raise KeyError
    assert processes and not any(map(alive, processes))


def test_nothing_starts_where_nothing_is_to_decide(module):
    with open_workers(PairLimits(), "no_such_module") as workers:
        assert workers.compare([]) == []


def test_a_worker_that_cannot_start_is_an_error_that_says_so():
    started = open_workers(PairLimits(), "restem.no_such_worker")
    with started as workers, pytest.raises(RestemError, match="does not start"):
        workers.compare([("a", "b")])


def test_the_last_layer_decides_what_the_quick_one_cannot():
    assert grade("2^{100000}", "\\boxed{4^{50000}}").verdict == "correct"
    verdict = grade("2^{100000}", "\\boxed{2^{100000}+1}")
    assert (verdict.verdict, verdict.layer) == ("incorrect", "symbolic")


def test_a_pair_that_hangs_costs_one_verdict():
    pairs = [("9^{9^9}", "9^{9^{9}+1}"), ("5", "5"), ("9^{9^9}", "x^{10^9}+1"), ("1/2", "0.5")]
    with open_verifier(Reward()) as verifier:
        verdicts = [verdict.verdict for verdict in verifier.compare(pairs)]
    assert verdicts[1::2] == ["correct", "correct"]
    assert set(verdicts[::2]) <= {"timeout", "incorrect", "error"}


def test_equal_pairs_are_compared_once(monkeypatch):
    calls = []
    monkeypatch.setattr(
        "restem.rewards.math.compare", lambda *pair: calls.append(pair) or (True, "test")
    )
    with open_verifier(Reward()) as verifier:
        verifier.compare([("a", "b")] * 3 + [("a", "c")])
        verifier.compare([("a", "c"), ("a", "b")])
    assert calls == [("a", "b"), ("a", "c")]
