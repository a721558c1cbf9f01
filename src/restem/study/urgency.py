"""What a run should do first: jobs that the longest chain of M-steps waits for."""

from collections import defaultdict
from functools import cached_property

from restem.study.addresses import Draws, Policy
from restem.study.graph import StudyGraph


class Urgency:
    """How many M-steps, one after another, wait for a job; the larger, the sooner it should run."""

    def __init__(self, graph: StudyGraph) -> None:
        self._graph = graph
        self._lengths: dict[Policy, int] = {}

    def of_policy(self, policy: Policy) -> int:
        """Return the length of the longest chain of M-steps that begins with a policy's own.

        Making a base model is no M-step, but chains wait for it all the same.
        """
        if policy not in self._lengths:
            later = (self.of_policy(other) for other in self._waiting.get(policy, ()))
            self._lengths[policy] = 1 + max(later, default=0)
        return self._lengths[policy]

    def of_draws(self, draws: Draws) -> int:
        """Return the length of the longest chain that waits for completions; 0 if none does."""
        return max(map(self.of_policy, self._selecting.get(draws, ())), default=0)

    @cached_property
    def _waiting(self) -> dict[Policy, list[Policy]]:
        """Map each policy to those that start from it, are averaged with it, or use its draws."""
        waiting: dict[Policy, list[Policy]] = defaultdict(list)
        for policy in self._graph.trained:
            generators = [draws.policy for draws in self._graph.feeds(policy)]
            read = [self._graph.start(policy), *self._graph.averaged_with(policy), *generators]
            for other in dict.fromkeys(read):
                waiting[other].append(policy)
        return waiting

    @cached_property
    def _selecting(self) -> dict[Draws, list[Policy]]:
        """Map completions to the policies whose examples are selected from them."""
        selecting: dict[Draws, list[Policy]] = defaultdict(list)
        for policy in self._graph.trained:
            for draws in self._graph.feeds(policy):
                selecting[draws].append(policy)
        return selecting
