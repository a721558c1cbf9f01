"""What every verifier is: opened once, it judges many attempts; and the verdicts that it gives."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from restem.config.reward import Reward

# The layer of a verdict that tells of our own failure: it is no verdict on the completion.
INFRASTRUCTURE = "infrastructure error"

Outcome = Literal["correct", "incorrect", "unextractable", "timeout", "error"]


@dataclass(frozen=True)
class Verdict:
    """One completion's verdict, the answer that was found in it, and the layer that decided.

    detail: what an auditor wants to see, such as the compared forms or the first failing test.
    passed: the share of tests passed, 0 to 1; None where a verdict is all there is.
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
    """A completion, and what its problem is checked against: a gold answer, or tests as JSON."""

    gold: str
    completion: str


class Verifier(Protocol):
    """Judge attempts; whatever a completion holds, it never raises because of it."""

    def verify(self, attempts: Sequence[Attempt], policy: str) -> list[Verdict]:
        """Return one verdict an attempt, in order; policy is `strict` or `flexible`."""
        ...


class OpenVerifier(Protocol):
    """Start a verifier: `open_verifier` of its module."""

    def __call__(
        self, reward: Reward, markers: tuple[str, ...]
    ) -> AbstractContextManager[Verifier]:
        """Return a context in which attempts are judged; markers: of the task's strict answers."""
        ...
