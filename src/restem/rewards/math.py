"""Grade a mathematical answer, by the cheapest layer that can decide it.

Length cap, equal strings, equal exact numbers, then the comparison of parsed forms; what that
cannot compute within its budget goes to worker processes that sympy may hang or fill. Nothing that
a model wrote is evaluated as a program: answers are read by our own parser, in every layer.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from restem.answers.compare import Comparison
from restem.answers.extraction import MARKERS, extract, markers_of
from restem.answers.normalise import Form, normalise
from restem.answers.rational import parse_rational
from restem.answers.workers import LIMITS, Limits, Pair, Reply, Workers, open_workers
from restem.config.reward import Reward
from restem.rewards.verifier import Attempt, Outcome, Verdict

VERSION: Final = "2"
MAX_ANSWER_CHARACTERS: Final = 1000
MAX_COMPARED_CHARACTERS: Final = 4000

_FAILURES: Final[dict[str, Outcome]] = {
    "timeout": "timeout",
    "memory": "error",
    "died": "error",
    "error": "error",
}


class MathVerifier:
    """Judge answers; equal pairs are compared once for as long as the verifier is open."""

    def __init__(self, reward: Reward, markers: tuple[str, ...], workers: Workers) -> None:
        self._markers = markers
        self._longest = reward.max_answer_characters
        self._workers = workers
        self._known: dict[tuple[str, str, str], Verdict] = {}

    def verify(self, attempts: Sequence[Attempt], policy: str) -> list[Verdict]:
        """Return one verdict an attempt, in order; policy `answer`: a bare answer counts too."""
        markers = markers_of(policy, self._markers)
        answers = [extract(attempt.completion, markers) for attempt in attempts]
        judged = self.judge(
            [
                (attempt.gold, answer)
                for attempt, answer in zip(attempts, answers, strict=True)
                if answer is not None
            ]
        )
        in_order = iter(judged)
        none = Verdict("unextractable", None, "extraction")
        return [none if answer is None else next(in_order) for answer in answers]

    def judge(self, pairs: Sequence[Pair]) -> list[Verdict]:
        """Compare answers with gold answers; one verdict a pair (gold, answer), in order."""
        hard = []
        for pair in dict.fromkeys(pairs):
            if (*pair, VERSION) not in self._known:
                verdict = self._quick(*pair)
                if verdict is None:
                    hard.append(pair)
                else:
                    self._known[(*pair, VERSION)] = verdict
        for pair, reply in zip(hard, self._workers.decide(hard), strict=True):
            self._known[(*pair, VERSION)] = self._slow(*pair, reply)
        return [self._known[(*pair, VERSION)] for pair in pairs]

    def _quick(self, gold: str, answer: str) -> Verdict | None:
        """Judge a pair in this process; None where that needs a worker."""
        if len(answer) > self._longest:
            return Verdict("incorrect", answer[: self._longest], "length")
        if not gold.strip():
            return Verdict("error", answer, "gold", "the gold answer is empty")
        equal, layer = compare(gold, answer)
        return None if equal is None else _verdict(gold, answer, equal, layer)

    def _slow(self, gold: str, answer: str, reply: Reply) -> Verdict:
        """Take what no worker can decide for different, with a layer that says so."""
        if reply.layer in _FAILURES:
            return Verdict(_FAILURES[reply.layer], answer, reply.layer, reply.detail)
        layer = reply.layer if reply.equal is not None else "undecided"
        return _verdict(gold, answer, bool(reply.equal), layer)


def _verdict(gold: str, answer: str, equal: bool, layer: str) -> Verdict:
    """Return a verdict that shows what was compared."""
    if gold == answer:
        return Verdict("correct", answer, layer)
    left, right = normalise(gold).body, normalise(answer).body
    detail = f"{left} {'=' if equal else '≠'} {right}"
    return Verdict("correct" if equal else "incorrect", answer, layer, detail)


@contextmanager
def open_verifier(
    reward: Reward, markers: tuple[str, ...] = MARKERS, limits: Limits = LIMITS
) -> Iterator[MathVerifier]:
    """Open the verifier of mathematical answers; its workers start when one is first needed."""
    with open_workers(limits) as workers:
        yield MathVerifier(reward, markers, workers)


def grade(
    gold: str,
    completion: str,
    policy: str = "strict",
    markers: tuple[str, ...] = MARKERS,
    max_answer_characters: int = MAX_ANSWER_CHARACTERS,
) -> Verdict:
    """Return the verdict on one completion; open a verifier to grade many.

    policy: `strict` accepts an answer that one of `markers` marks, `flexible` also other markers
    and, failing those, the last number. An answer over the cap is incorrect unseen.
    """
    reward = Reward(max_answer_characters=max_answer_characters)
    with open_verifier(reward, markers) as verifier:
        return verifier.verify([Attempt(gold, completion)], policy)[0]


def compare(gold: str, answer: str) -> tuple[bool | None, str]:
    """Tell whether two answers are equal, and which layer decided it: a symmetric relation.

    None: it cannot be told within the budget of this process.
    """
    if gold == answer:
        return True, "string"
    if max(len(gold), len(answer)) > MAX_COMPARED_CHARACTERS:
        return False, "length"
    left, right = normalise(gold), normalise(answer)
    decided = _compare_bodies(left, right)
    if decided is not None:
        return decided
    found = Comparison().answers(gold, answer)
    return found.equal, found.layer


def _compatible(left: str, right: str) -> bool:
    """Allow a unit or label to be left out, not to be another one."""
    return left == right or not left or not right


def _compare_bodies(left: Form, right: Form) -> tuple[bool, str] | None:
    """Compare normalised strings and the numbers that they state; None where they state none."""
    if not (_compatible(left.unit, right.unit) and _compatible(left.label, right.label)):
        return None
    if left.body == right.body and left.body:
        return True, "string"
    first, second = parse_rational(left.body), parse_rational(right.body)
    if first is None or second is None:
        return None
    # 50% is 0.5, and 50 where the sign is left out as a unit is.
    if left.unit != right.unit and "percent" in (left.unit, right.unit):
        whole = (first, second * 100) if right.unit == "percent" else (first * 100, second)
        return first == second or whole[0] == whole[1], "rational"
    return first == second, "rational"
