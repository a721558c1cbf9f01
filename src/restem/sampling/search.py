"""Search for solutions with the verifier as judge (the expert of ExIt, Anthony et al. 2017).

A beam search over partial solutions. Each is continued several times by a few tokens; the value of
a continuation is the share of its rollouts that the verifier accepts, and the best stay in the
beam. The value of a continuation that has ended is its own verdict. Only training problems are
judged: this is an E-step.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from restem.config.decoding import Decoding
from restem.config.method import Search
from restem.rewards.verifier import Attempt
from restem.sampling.engine import Completion, Engine, Request, draw_seed
from restem.tasks.grading import open_grader
from restem.tasks.problem import Problem
from restem.tasks.registry import load_task

Judge = Callable[[Sequence[tuple[str, str]]], list[float]]
"""Return the rewards of (problem id, completion) pairs."""


def search(
    settings: Any, engine: Engine, policy: str, prefix: str, problems: Sequence[Problem]
) -> list[dict[str, Any]]:
    """Return the rows of the completions that are left in the beam of every problem.

    settings: those of the stage `samples`. policy: content digest of the policy. prefix: the
    few-shot prompt.
    """
    task = load_task(settings.task)
    answers = {problem.id: problem.answer or "" for problem in problems}
    split, decoding, seed = settings.address
    rows = []
    with open_grader(settings.task, settings.verifier, settings.reward) as grader:

        def judge(pairs: Sequence[tuple[str, str]]) -> list[float]:
            attempts = [Attempt(answers[problem_id], text) for problem_id, text in pairs]
            return [verdict.reward for verdict in grader.verdicts(attempts)]

        beam = BeamSearch(engine, settings.decoding, settings.search, task.stop, judge)
        for problem in problems:
            first = draw_seed(policy, split, f"{decoding}+beam", problem.id, 0, seed)
            question = task.question(problem.question)
            request = Request(problem.id, prefix, question, (0,), (first,))
            rows += [solution.row("beam", engine.version) for solution in beam.solve(request)]
    return rows


@dataclass(frozen=True)
class Node:
    """A partial or finished solution; length: its number of tokens."""

    text: str = ""
    length: int = 0
    logprob: float = 0.0
    finished: bool = False
    value: float = 0.0


class BeamSearch:
    """Solve one problem after the other with one engine."""

    def __init__(
        self,
        engine: Engine,
        decoding: Decoding,
        search: Search,
        stop: tuple[str, ...],
        judge: Judge,
    ) -> None:
        self._engine, self._search, self._stop, self._judge = engine, search, stop, judge
        self._decoding = decoding
        self._sampled_tokens = self._prompt_tokens = 0

    def solve(self, request: Request) -> list[Completion]:
        """Return the final beam, sorted by value, as draws 0, 1, ...

        The tokens of the whole search, rollouts included, are counted for draw 0; the others have
        none.
        """
        self._sampled_tokens = self._prompt_tokens = depth = 0
        max_depth = -(-self._decoding.max_tokens // self._search.step_tokens)
        beam = [Node()]
        while any(not node.finished for node in beam) and depth < max_depth:
            finished = [node for node in beam if node.finished]
            continued = self._continued(request, beam, depth)
            beam = [*finished, *self._valued(request, continued, depth)]
            beam.sort(key=lambda node: (-node.value, -node.logprob, node.text))
            beam, depth = beam[: self._search.beams], depth + 1
        return [
            Completion(
                problem_id=request.problem_id,
                draw=place,
                seed=request.seeds[0],
                text=node.text,
                tokens=self._sampled_tokens if place == 0 else 0,
                prompt_tokens=self._prompt_tokens,
                finish_reason="stop" if node.finished else "length",
                stop_reason=None,
                logprob=node.logprob,
            )
            for place, node in enumerate(beam)
        ]

    def _continued(self, request: Request, beam: Sequence[Node], depth: int) -> list[Node]:
        """Sample continuations of every unfinished node; drop those with equal texts."""
        by_text: dict[str, Node] = {}
        for place, node in enumerate(beam):
            if node.finished:
                continue
            for step in self._sample(
                request, node, self._search.expansions, self._search.step_tokens, depth, place
            ):
                self._prompt_tokens = step.prompt_tokens
                child = replace(
                    node,
                    text=node.text + step.text,
                    finished=step.finish_reason == "stop",
                    length=node.length + step.tokens,
                    logprob=node.logprob + step.logprob,
                )
                by_text.setdefault(child.text, child)
        return list(by_text.values())

    def _valued(self, request: Request, nodes: Sequence[Node], depth: int) -> Iterator[Node]:
        """Yield the nodes with their values: the share of their rollouts that is accepted."""
        for place, node in enumerate(nodes):
            texts = [node.text]
            remaining = self._decoding.max_tokens - node.length
            if not node.finished and remaining > 0:
                rollouts = self._sample(
                    request, node, self._search.rollouts, remaining, depth, 1000 + place
                )
                texts = [node.text + rollout.text for rollout in rollouts]
            rewards = self._judge([(request.problem_id, text) for text in texts])
            yield replace(node, value=sum(rewards) / len(rewards))

    def _sample(
        self, request: Request, node: Node, count: int, max_tokens: int, depth: int, place: int
    ) -> list[Completion]:
        """Sample so many completions that follow a node, and count their tokens."""
        address = (str(request.seeds[0]), str(depth), str(place), request.problem_id)
        draws = tuple(range(count))
        seeds = tuple(draw_seed(*address, draw, 0) for draw in draws)
        following = replace(request, prompt=request.prompt + node.text, draws=draws, seeds=seeds)
        decoding = self._decoding.model_copy(update={"max_tokens": max_tokens})
        groups = self._engine.sample([following], decoding, self._stop)
        completions = [completion for group in groups for completion in group]
        self._sampled_tokens += sum(completion.tokens for completion in completions)
        return sorted(completions, key=lambda completion: completion.draw)
