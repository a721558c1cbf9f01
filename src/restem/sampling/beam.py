"""Search for solutions with the verifier as judge (the expert of ExIt, Anthony et al. 2017).

A beam holds partial solutions. Each is continued several times by a few tokens; each continuation
is valued by the share of its rollouts that the verifier accepts, and the best stay. A continuation
that ends is valued by its own verdict. Verdicts on training problems only: this is an E-step.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from restem.config.decoding import Decoding
from restem.config.method import Search
from restem.sampling.engine import Completion, Engine, Request, draw_seed

Judge = Callable[[Sequence[tuple[str, str]]], list[float]]
"""Reward of (problem id, completion) pairs."""


@dataclass(frozen=True)
class Node:
    """A partial or finished solution; tokens: all that were drawn for it, rollouts included."""

    text: str = ""
    tokens: int = 0
    length: int = 0
    logprob: float = 0.0
    finished: bool = False
    value: float = 0.0


class BeamSearch:
    """Search one problem after the other with one engine."""

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

    def solve(self, request: Request) -> list[Completion]:
        """Return the beam at the end, the most valued first, as draws 0, 1 and so on."""
        beam = [Node()]
        depth, spent, prompt_tokens = 0, 0, 0
        while any(not node.finished for node in beam) and depth < self._deepest:
            grown, tokens, prompt_tokens = self._expand(request, beam, depth)
            valued, more = self._value(request, grown, depth)
            beam = self._best([node for node in beam if node.finished] + valued)
            spent, depth = spent + tokens + more, depth + 1
        return [
            Completion(
                request.problem_id, place, request.seeds[0], node.text,
                spent if place == 0 else 0, prompt_tokens,
                "stop" if node.finished else "length", None, node.logprob,
            )
            for place, node in enumerate(beam)
        ]  # fmt: skip

    @property
    def _deepest(self) -> int:
        return -(-self._decoding.max_tokens // self._search.step_tokens)

    def _expand(
        self, request: Request, beam: Sequence[Node], depth: int
    ) -> tuple[list[Node], int, int]:
        """Draw continuations of every unfinished node; equal ones are one."""
        step = self._decoding.model_copy(update={"max_tokens": self._search.step_tokens})
        found: dict[str, Node] = {}
        tokens = prompt_tokens = 0
        for place, node in enumerate(beam):
            if node.finished:
                continue
            drawn = self._draw(request, node, self._search.expansions, step, depth, place)
            for one in drawn:
                tokens, prompt_tokens = tokens + one.tokens, one.prompt_tokens
                grown = replace(
                    node, text=node.text + one.text, finished=one.finish_reason == "stop",
                    length=node.length + one.tokens, logprob=node.logprob + one.logprob,
                )  # fmt: skip
                found.setdefault(grown.text, grown)
        return list(found.values()), tokens, prompt_tokens

    def _value(self, request: Request, nodes: Sequence[Node], depth: int) -> tuple[list[Node], int]:
        valued, spent = [], 0
        for place, node in enumerate(nodes):
            ends = [node.text]
            left = self._decoding.max_tokens - node.length
            if not node.finished and left > 0:
                rest = self._decoding.model_copy(update={"max_tokens": left})
                rollouts = self._search.rollouts
                drawn = self._draw(request, node, rollouts, rest, depth, 1000 + place)
                ends = [node.text + one.text for one in drawn]
                spent += sum(one.tokens for one in drawn)
            rewards = self._judge([(request.problem_id, text) for text in ends])
            valued.append(replace(node, value=sum(rewards) / len(rewards)))
        return valued, spent

    def _best(self, nodes: Sequence[Node]) -> list[Node]:
        ranked = sorted(nodes, key=lambda node: (-node.value, -node.logprob, node.text))
        return ranked[: self._search.beams]

    def _draw(
        self, request: Request, node: Node, count: int, decoding: Decoding, depth: int, place: int
    ) -> list[Completion]:
        draws = tuple(range(count))
        address = (str(request.seeds[0]), str(depth), str(place), request.problem_id)
        seeds = tuple(draw_seed(*address, draw, 0) for draw in draws)
        asked = replace(request, prompt=request.prompt + node.text, draws=draws, seeds=seeds)
        found = [
            one for group in self._engine.sample([asked], decoding, self._stop) for one in group
        ]
        return sorted(found, key=lambda one: one.draw)
