"""Verify mathematical answers, each by the cheapest layer that can decide it.

The layers: a length cap, equal strings, equal exact numbers, then the comparison of parsed forms.
What exceeds the budget of the last one goes to worker processes, in which sympy may hang or run out
of memory. Nothing that a model wrote is executed: our own parser reads answers, in every layer.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from restem.answers.compare import Comparison
from restem.answers.extraction import MARKERS, extract, markers_of
from restem.answers.normalise import NormalForm, normalise, parse_rational
from restem.answers.workers import LIMITS, Pair, PairLimits, Reply, WorkerPool, open_workers
from restem.config.reward import Reward
from restem.rewards.verifier import Attempt, Outcome, Verdict

if TYPE_CHECKING:  # run by the workers; the import makes it part of the verifier's code digest
    import restem.answers.symbolic  # noqa: F401

WORKER: Final = "restem.answers.symbolic"
MAX_ANSWER_CHARACTERS: Final = 1000
MAX_COMPARED_CHARACTERS: Final = 4000

_FAILURES: Final = ("timeout", "memory", "died", "error")


class MathVerifier:
    """Verify answers; each pair is compared only once while the verifier is open."""

    def __init__(self, reward: Reward, markers: tuple[str, ...], workers: WorkerPool) -> None:
        self._markers = markers
        self._max_characters = reward.max_answer_characters
        self._workers = workers
        self._verdicts: dict[Pair, Verdict] = {}

    def verify(self, attempts: Sequence[Attempt], mode: str) -> list[Verdict]:
        """Return one verdict per attempt, in order; mode `answer` also accepts a bare answer."""
        markers = markers_of(mode, self._markers)
        answers = [extract(attempt.completion, markers) for attempt in attempts]
        pairs = [
            (attempt.gold, answer)
            for attempt, answer in zip(attempts, answers, strict=True)
            if answer is not None
        ]
        verdicts = iter(self.compare(pairs))
        unextractable = Verdict("unextractable", None, "extraction")
        return [unextractable if answer is None else next(verdicts) for answer in answers]

    def compare(self, pairs: Sequence[Pair]) -> list[Verdict]:
        """Return one verdict per pair of a gold answer and an answer, in order."""
        hard = []
        for pair in dict.fromkeys(pairs):
            if pair not in self._verdicts:
                verdict = self._quick(*pair)
                if verdict is None:
                    hard.append(pair)
                else:
                    self._verdicts[pair] = verdict
        for pair, reply in zip(hard, self._workers.compare(hard), strict=True):
            self._verdicts[pair] = self._slow(*pair, reply)
        return [self._verdicts[pair] for pair in pairs]

    def _quick(self, gold: str, answer: str) -> Verdict | None:
        """Compare a pair in this process; None where it needs a worker."""
        if len(answer) > self._max_characters:
            return Verdict("incorrect", answer[: self._max_characters], "length")
        if not gold.strip():
            return Verdict("error", answer, "gold", "the gold answer is empty")
        equal, layer = compare(gold, answer)
        return None if equal is None else _verdict(gold, answer, equal, layer)

    def _slow(self, gold: str, answer: str, reply: Reply) -> Verdict:
        """Count as different what no worker can decide, with a layer that says so."""
        if reply.layer in _FAILURES:
            outcome: Outcome = "timeout" if reply.layer == "timeout" else "error"
            return Verdict(outcome, answer, reply.layer, reply.detail)
        layer = reply.layer if reply.equal is not None else "undecided"
        return _verdict(gold, answer, bool(reply.equal), layer)


def _verdict(gold: str, answer: str, equal: bool, layer: str) -> Verdict:
    """Return a verdict whose detail shows the compared forms."""
    if gold == answer:
        return Verdict("correct", answer, layer)
    left, right = normalise(gold).body, normalise(answer).body
    detail = f"{left} {'=' if equal else '≠'} {right}"
    return Verdict("correct" if equal else "incorrect", answer, layer, detail)


@contextmanager
def open_verifier(
    reward: Reward, markers: tuple[str, ...] = MARKERS, limits: PairLimits = LIMITS
) -> Iterator[MathVerifier]:
    """Open the verifier of mathematical answers; its workers start when they are first needed."""
    with open_workers(limits, WORKER) as workers:
        yield MathVerifier(reward, markers, workers)


def grade(
    gold: str,
    completion: str,
    mode: str = "strict",
    markers: tuple[str, ...] = MARKERS,
    max_answer_characters: int = MAX_ANSWER_CHARACTERS,
) -> Verdict:
    """Return the verdict on one completion; to grade many, open a verifier.

    mode: `strict` accepts an answer at one of `markers`; `flexible` also accepts other markers
    and, without any, the last number. An answer over the cap is incorrect without comparison.
    """
    reward = Reward(max_answer_characters=max_answer_characters)
    with open_verifier(reward, markers) as verifier:
        return verifier.verify([Attempt(gold, completion)], mode)[0]


def compare(gold: str, answer: str) -> tuple[bool | None, str]:
    """Return whether two answers are equal, and the layer that decided; this is symmetric.

    None: the budget of this process is too small to decide.
    """
    if gold == answer:
        return True, "string"
    if max(len(gold), len(answer)) > MAX_COMPARED_CHARACTERS:
        return False, "length"
    left, right = normalise(gold), normalise(answer)
    by_body = _compare_bodies(left, right)
    if by_body is not None:
        return by_body
    equality = Comparison().compare(gold, answer)
    return equality.equal, equality.layer


def _compatible(left: str, right: str) -> bool:
    """Allow a unit or label to be missing, but not to differ."""
    return left == right or not left or not right


def _compare_bodies(left: NormalForm, right: NormalForm) -> tuple[bool, str] | None:
    """Compare normalised strings or the numbers in them; None where they are not numbers."""
    if not (_compatible(left.unit, right.unit) and _compatible(left.label, right.label)):
        return None
    if left.body == right.body and left.body:
        return True, "string"
    first, second = parse_rational(left.body), parse_rational(right.body)
    if first is None or second is None:
        return None
    # 50% equals 0.5, and also 50, as if the sign were a missing unit.
    if left.unit != right.unit and "percent" in (left.unit, right.unit):
        whole = (first, second * 100) if right.unit == "percent" else (first * 100, second)
        return first == second or whole[0] == whole[1], "rational"
    return first == second, "rational"
