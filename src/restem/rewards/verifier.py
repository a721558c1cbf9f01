"""What every verifier is: opened once, it judges many attempts and owns the processes it needs."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from restem.config.reward import Reward
from restem.rewards.verdict import Verdict


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
