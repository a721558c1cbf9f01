"""Search for solutions with the verifier as judge (the expert of ExIt, Anthony et al. 2017).

A beam search over partial solutions. Each is continued several times by a few tokens; the value of
a continuation is the share of its rollouts that the verifier accepts, and the best stay in the
beam. The value of a continuation that has ended is its own verdict. Only training problems are
judged: this is an E-step.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from restem.config.decoding import Decoding
from restem.config.steps import Search
from restem.rewards.verifier import Attempt
from restem.sampling.engine import Completion, Engine, PromptTooLong, Request, draw_seed
from restem.sampling.prompts import PromptForm
from restem.tasks.grading import open_grader
from restem.tasks.problem import Problem
from restem.tasks.registry import load_task

Judge = Callable[[Sequence[tuple[str, str]]], list[float]]
"""Return the rewards of (problem id, completion) pairs."""


def search(
    settings: Any, engine: Engine, policy: str, form: PromptForm, problems: Sequence[Problem]
) -> list[dict[str, Any]]:
    """Return the rows of the completions that are left in the beam of every problem.

    settings: those of the stage `samples`. policy: content digest of the policy. form: of the
    prompts.
    """
    task = load_task(settings.task)
    answers = {problem.id: problem.answer or "" for problem in problems}
    split, decoding, seed = settings.address
    requests = [
        form.request(
            problem.id,
            task.question(problem.question),
            (0,),
            (draw_seed(policy, split, f"{decoding}+beam", problem.id, 0, seed),),
        )
        for problem in problems
    ]
    # Engines check all prompts on the call: what cannot be asked is known before hours of search.
    stops = form.stops(task.stop)
    engine.sample(requests, settings.decoding, stops)
    rows = []
    with open_grader(settings.task, settings.verifier, settings.reward) as grader:

        def judge(pairs: Sequence[tuple[str, str]]) -> list[float]:
            attempts = [Attempt(answers[problem_id], text) for problem_id, text in pairs]
            return [verdict.reward for verdict in grader.verdicts(attempts)]

        beam = BeamSearch(engine, settings.decoding, settings.search, stops, judge)
        for request in requests:
            rows += [solution.row("beam", engine.version) for solution in beam.solve(request)]
    return rows


@dataclass(frozen=True)
class Node:
    """A partial or finished solution; length: its number of tokens.

    ended: how it ended, as in `Completion.finish_reason`; None if it can be continued.
    """

    text: str = ""
    length: int = 0
    logprob: float = 0.0
    ended: Literal["stop", "length"] | None = None
    stop_reason: str | None = None
    value: float = 0.0


class BeamSearch:
    """Solve one problem after the other with one engine.

    A solution ends as a draw does: before the first stop string, also one that two steps write
    together, at an end-of-text token, after max_tokens, or where the model's context is full.
    """

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
        beam = [Node()]
        while any(node.ended is None for node in beam):
            ended = [node for node in beam if node.ended]
            continued = self._continued(request, beam, depth)
            beam = [*ended, *self._valued(request, continued, depth)]
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
                finish_reason=node.ended or "length",
                stop_reason=node.stop_reason,
                logprob=node.logprob,
            )
            for place, node in enumerate(beam)
        ]

    def _continued(self, request: Request, beam: Sequence[Node], depth: int) -> list[Node]:
        """Sample continuations of every node that goes on; drop those with equal texts."""
        by_text: dict[str, Node] = {}
        for place, node in enumerate(beam):
            if node.ended:
                continue
            steps = self._sample(
                request, node, self._search.expansions, self._search.step_tokens, depth, place
            )
            if depth == 0:
                self._prompt_tokens = steps[0].prompt_tokens
            children = [self._extended(node, step) for step in steps]
            # Without a step, its own text fills the context: what there is of it stands.
            for child in children or [replace(node, ended="length")]:
                by_text.setdefault(child.text, child)
        return list(by_text.values())

    def _extended(self, node: Node, step: Completion, whole: bool = False) -> Node:
        """Return a node with one more step, or with all of the rest, and how it ended, if it did.

        A step that ended before its time met the end of the context.
        """
        length = node.length + step.tokens
        text, stop_reason = node.text + step.text, step.stop_reason
        if found := self._first_stop(text + (stop_reason if stop_reason in self._stop else "")):
            place, stop_reason = found
            text = text[:place]
        is_short = step.tokens < self._search.step_tokens or length >= self._decoding.max_tokens
        ended: Literal["stop", "length"] | None = "length" if whole or is_short else None
        if found or step.finish_reason == "stop":
            ended = "stop"
        if ended is None:  # half a character would be read as a sign of its own
            text = text.rstrip("\ufffd")
        logprob = node.logprob + step.logprob
        return replace(
            node, text=text, length=length, logprob=logprob, ended=ended, stop_reason=stop_reason
        )

    def _first_stop(self, text: str) -> tuple[int, str] | None:
        """Return place and string of the stop where sampling token by token would have ended."""
        ends = [place + len(s) for s in self._stop if s and (place := text.find(s)) >= 0]
        if not ends:
            return None
        text = text[: min(ends)]
        return min((place, s) for s in self._stop if s and (place := text.find(s)) >= 0)

    def _valued(self, request: Request, nodes: Sequence[Node], depth: int) -> Iterator[Node]:
        """Yield the nodes with their values: the share of their rollouts that is accepted."""
        for place, node in enumerate(nodes):
            texts = [node.text]
            if node.ended is None:
                rollouts = self._sample(
                    request, node, self._search.rollouts, None, depth, 1000 + place
                )
                texts = [self._extended(node, r, whole=True).text for r in rollouts] or texts
            rewards = self._judge([(request.problem_id, text) for text in texts])
            yield replace(node, value=sum(rewards) / len(rewards))

    def _sample(
        self,
        request: Request,
        node: Node,
        count: int,
        max_tokens: int | None,
        depth: int,
        place: int,
    ) -> list[Completion]:
        """Sample so many completions that follow a node, and count their tokens.

        max_tokens: of a step; None for all that is left. Returns none where the context is full.
        """
        address = (str(request.seeds[0]), str(depth), str(place), request.problem_id)
        draws = tuple(range(count))
        seeds = tuple(draw_seed(*address, draw, 0) for draw in draws)
        following = replace(request, prompt=request.prompt + node.text, draws=draws, seeds=seeds)
        left = self._decoding.max_tokens - node.length
        tokens = left if max_tokens is None else min(max_tokens, left)
        decoding = self._decoding.model_copy(update={"max_tokens": tokens})
        try:
            groups = list(self._engine.sample([following], decoding, self._stop))
        except PromptTooLong:
            if not node.text:
                raise
            return []
        completions = [completion for group in groups for completion in group]
        self._sampled_tokens += sum(completion.tokens for completion in completions)
        return sorted(completions, key=lambda completion: completion.draw)
