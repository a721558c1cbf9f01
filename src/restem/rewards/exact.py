"""Grade by exact match, as the official evaluation of BIG-Bench Hard does (Suzgun et al. 2022).

The answer is what follows the last `answer is `, without white space around it and without one
full stop; without a chain of thought it is the first line. It must be the target, letter by
letter. The flexible policy forgives case, brackets around a choice and a missing `answer is`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from restem.config.reward import Reward
from restem.rewards.verifier import Attempt, Verdict

MARKER: Final = "answer is "


class ExactVerifier:
    """Compare answers as strings."""

    def __init__(self, reward: Reward, markers: tuple[str, ...]) -> None:
        self._thinking = bool(markers)
        self._longest = reward.max_answer_characters

    def verify(self, attempts: Sequence[Attempt], policy: str) -> list[Verdict]:
        """Return one verdict an attempt, in order."""
        return [self._judge(attempt, policy) for attempt in attempts]

    def _judge(self, attempt: Attempt, policy: str) -> Verdict:
        answer = answer_in(attempt.completion, self._thinking)
        if answer is None and policy != "strict":
            answer = _last_line(attempt.completion)
        if not answer:
            return Verdict("unextractable", None, "extraction")
        if len(answer) > self._longest:
            return Verdict("incorrect", answer[: self._longest], "length")
        same = answer == attempt.gold
        if policy != "strict":
            same = same or _loose(answer) == _loose(attempt.gold)
        return Verdict("correct" if same else "incorrect", answer, "string")


@contextmanager
def open_verifier(reward: Reward, markers: tuple[str, ...]) -> Iterator[ExactVerifier]:
    """Open the verifier of exact answers; markers: none where answers come without thoughts."""
    yield ExactVerifier(reward, markers)


def answer_in(completion: str, thinking: bool) -> str | None:
    """Return the answer that a completion gives, None where it names none."""
    if thinking:
        _, marker, answer = completion.rpartition(MARKER)
        if not marker:
            return None
    else:
        answer = completion.strip().partition("\n")[0]
    return answer.strip().removesuffix(".").strip() or None


def _last_line(text: str) -> str | None:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].removesuffix(".") if lines else None


def _loose(answer: str) -> str:
    return " ".join(answer.casefold().strip("()").split())
