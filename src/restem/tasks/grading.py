"""Grade completions of a task: for the rewards stage, and for validation inside the M-step."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from restem.config.reward import Reward
from restem.errors import RestemError
from restem.rewards.registry import load_verifier
from restem.rewards.verifier import INFRASTRUCTURE, Attempt, Verdict, Verifier
from restem.tasks.registry import load_task


class Grader:
    """Grade completions of one task under the study's policy; equal attempts are judged once."""

    def __init__(self, verifier: Verifier, policy: str) -> None:
        self._verifier = verifier
        self._policy = policy

    def verdicts(self, attempts: Sequence[Attempt], policy: str | None = None) -> list[Verdict]:
        """Return one verdict an attempt, in order; policy: the study's if it is left out.

        Raises RestemError where the verifier itself has failed: that must not count as a reward.
        """
        different = list(dict.fromkeys(attempts))
        judged = self._verifier.verify(different, policy or self._policy)
        lost = [verdict for verdict in judged if verdict.layer == INFRASTRUCTURE]
        if lost:
            raise RestemError(
                f"the verifier failed on {len(lost)} of {len(judged)} completions",
                str(lost[0].detail),
                "look at `restem sandbox check` on this machine, then run the same command again",
            )
        verdict_of = dict(zip(different, judged, strict=True))
        return [verdict_of[attempt] for attempt in attempts]


@contextmanager
def open_grader(task: str, verifier: str, reward: Reward) -> Iterator[Grader]:
    """Open the verifier of a task for as long as the context lasts."""
    with load_verifier(verifier)(reward, load_task(task).markers) as opened:
        yield Grader(opened, reward.extraction)
