"""Verify by exact match, as the official evaluation of BIG-Bench Hard does (Suzgun et al. 2022).

The answer follows the last `answer is `; without a chain of thought it is the first line. White
space around it and one final full stop do not count. It must equal the target, letter by letter.
The flexible mode ignores case, brackets around a choice and a missing `answer is`.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Final

from restem.answers.thoughts import after_thoughts
from restem.config.reward import Reward
from restem.rewards.verifier import Attempt, Verdict

MARKER: Final = "answer is "


class ExactVerifier:
    """Compare answers as strings."""

    def __init__(self, reward: Reward, markers: tuple[str, ...]) -> None:
        self._thinking = bool(markers)
        self._max_characters = reward.max_answer_characters

    def verify(self, attempts: Sequence[Attempt], mode: str) -> list[Verdict]:
        """Return one verdict per attempt, in order."""
        return [self._verdict(attempt, mode == "strict") for attempt in attempts]

    def _verdict(self, attempt: Attempt, strict: bool) -> Verdict:
        answer = answer_in(attempt.completion, self._thinking)
        if answer is None and not strict:
            answer = _last_line(after_thoughts(attempt.completion))
        if not answer:
            return Verdict("unextractable", None, "extraction")
        if len(answer) > self._max_characters:
            return Verdict("incorrect", answer[: self._max_characters], "length")
        equal = answer == attempt.gold
        if not strict:
            equal = equal or _loose(answer) == _loose(attempt.gold)
        return Verdict("correct" if equal else "incorrect", answer, "string")


def open_verifier(
    reward: Reward, markers: tuple[str, ...]
) -> AbstractContextManager[ExactVerifier]:
    """Open the verifier of exact answers; markers: none without a chain of thought."""
    return nullcontext(ExactVerifier(reward, markers))


def answer_in(completion: str, thinking: bool) -> str | None:
    """Return the answer in a completion, None where there is none."""
    completion = after_thoughts(completion)
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
