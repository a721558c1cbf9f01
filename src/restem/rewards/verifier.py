"""The interface of verifiers: opened once, a verifier judges many attempts."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from restem.config.reward import Reward

# The layer of a verdict that reports our own failure, not one of the completion.
INFRASTRUCTURE = "infrastructure error"

Outcome = Literal["correct", "incorrect", "unextractable", "timeout", "error"]


@dataclass(frozen=True)
class Verdict:
    """The verdict on a completion, the answer extracted from it, and the layer that decided.

    detail: for inspection, such as the compared forms or the first failing test. passed: the share
    of tests passed, 0 to 1; None where there are no tests.
    """

    verdict: Outcome
    extracted: str | None
    layer: str
    detail: str | None = None
    passed: float | None = None

    @property
    def reward(self) -> float:
        """Return the binary reward (section 3 of the paper)."""
        return float(self.verdict == "correct")

    @property
    def fraction(self) -> float:
        """Return the graded reward, 0 to 1: the share of tests passed, else the binary reward."""
        return self.reward if self.passed is None else self.passed


@dataclass(frozen=True)
class Attempt:
    """A completion and the gold answer of its problem, which may be tests as JSON."""

    gold: str
    completion: str


class Verifier(Protocol):
    """Judges attempts; no completion, whatever is in it, makes it raise."""

    def verify(self, attempts: Sequence[Attempt], mode: str) -> list[Verdict]:
        """Return one verdict per attempt, in order.

        mode: how the answer is extracted, `strict` or `flexible`.
        """
        ...


OpenVerifier = Callable[[Reward, tuple[str, ...]], AbstractContextManager[Verifier]]
"""The function `open_verifier` of a module; it gets the markers of the task's strict mode."""
