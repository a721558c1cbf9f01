"""Grade completions of a task, as rewards, in validation and in search."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from restem.config.reward import Reward
from restem.errors import RestemError
from restem.rewards.registry import load_verifier
from restem.rewards.verifier import INFRASTRUCTURE, Attempt, Verdict, Verifier
from restem.tasks.registry import load_task


class Grader:
    """Grades completions of one task; equal attempts are verified once.

    mode: how answers are extracted, where a call does not say otherwise.
    """

    def __init__(self, verifier: Verifier, mode: str) -> None:
        self._verifier = verifier
        self._mode = mode

    def verdicts(self, attempts: Sequence[Attempt], mode: str | None = None) -> list[Verdict]:
        """Return one verdict per attempt, in order.

        Raises RestemError where the verifier itself failed, which must not count as a reward of 0.
        """
        distinct = list(dict.fromkeys(attempts))
        verdicts = self._verifier.verify(distinct, mode or self._mode)
        failures = [verdict for verdict in verdicts if verdict.layer == INFRASTRUCTURE]
        if failures:
            raise RestemError(
                f"the verifier failed on {len(failures)} of {len(verdicts)} completions",
                str(failures[0].detail),
                "run `restem sandbox check` on this machine, then the same command again",
            )
        verdict_by_attempt = dict(zip(distinct, verdicts, strict=True))
        return [verdict_by_attempt[attempt] for attempt in attempts]


@contextmanager
def open_grader(task: str, verifier: str, reward: Reward) -> Iterator[Grader]:
    """Open the grader of a task."""
    with load_verifier(verifier)(reward, load_task(task).markers) as opened:
        yield Grader(opened, reward.extraction)
