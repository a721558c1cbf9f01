"""Grade completions of a task: for the rewards stage, and for validation inside the M-step."""

from functools import cache

from restem.config.reward import Reward
from restem.rewards.registry import load_verifier
from restem.rewards.verdict import Verdict
from restem.tasks.registry import load_task


class Grader:
    """Grade completions of one task; equal pairs are graded once."""

    def __init__(self, task: str, verifier: str, reward: Reward) -> None:
        self._grade = load_verifier(verifier)
        self._markers = load_task(task).markers
        self._reward = reward
        self.grade = cache(self._once)

    def _once(self, gold: str, completion: str, policy: str) -> Verdict:
        longest = self._reward.max_answer_characters
        return self._grade(gold, completion, policy, self._markers, longest)

    def reward(self, gold: str, completion: str) -> float:
        """Return the binary reward of a completion: 1 if it is correct, else 0."""
        return float(self.grade(gold, completion, self._reward.policy).verdict == "correct")
