"""A beam search keeps what leads to correct answers."""

from collections.abc import Iterator, Sequence

import pytest

from restem.config.decoding import Decoding
from restem.config.method import Search
from restem.sampling.engine import Completion, Request
from restem.sampling.search import BeamSearch

SAMPLED = Decoding(draws=1, temperature=0.7, max_tokens=6)


class LetterEngine:
    """Sample letters: the first draw of a request is `a`s, the second `b`s, a third stops."""

    name = "letters"
    version = "1"

    def __init__(self) -> None:
        self.prompts: list[str] = []

    def sample(
        self, requests: Sequence[Request], decoding: Decoding, stop: tuple[str, ...]
    ) -> Iterator[list[Completion]]:
        for request in requests:
            self.prompts.append(request.prompt)
            assert len(set(request.seeds)) == len(request.seeds)
            yield [self._completion(request, draw, decoding) for draw in request.draws]

    def _completion(self, request: Request, draw: int, decoding: Decoding) -> Completion:
        ends = draw == 2
        text = "" if ends else "ab"[draw] * decoding.max_tokens
        tokens = 1 if ends else decoding.max_tokens
        reason = "stop" if ends else "length"
        stop = "\n" if ends else None
        logprob = -float(tokens)
        return Completion(request.problem_id, draw, 0, text, tokens, 3, reason, stop, logprob)


def solve(right: str, **search: int) -> list[Completion]:
    def judge(pairs: Sequence[tuple[str, str]]) -> list[float]:
        return [float(text.startswith(right)) for _, text in pairs]

    settings = Search(**{"beams": 1, "expansions": 2, "rollouts": 1, "step_tokens": 2, **search})
    beam = BeamSearch(LetterEngine(), SAMPLED, settings, ("\n",), judge)
    return beam.solve(Request("p", "", "ask ", (0,), (7,)))


@pytest.mark.parametrize("right", ["aa", "bb", "bbaa", "aabb"])
def test_each_step_goes_where_the_verifier_says_yes(right: str) -> None:
    [solution] = solve(right, rollouts=2)
    assert solution.text.startswith(right)


def test_a_search_ends_at_the_longest_completion() -> None:
    [solution] = solve("x")
    assert len(solution.text) == SAMPLED.max_tokens
    assert solution.finish_reason == "length"


def test_the_beam_has_different_solutions_the_best_first() -> None:
    beam = solve("bb", beams=3)
    assert [solution.draw for solution in beam] == [0, 1, 2]
    assert len({solution.text for solution in beam}) == 3
    assert beam[0].text.startswith("bb")


def test_a_finished_solution_stays_in_the_beam_and_is_not_continued() -> None:
    beam = solve("", beams=2, expansions=3)
    assert beam[0].finish_reason == "stop"
    assert beam[0].text == ""


def test_tokens_of_the_whole_search_are_counted_once() -> None:
    beam = solve("bb", beams=2)
    assert beam[0].tokens > sum(len(solution.text) for solution in beam)
    assert [solution.tokens for solution in beam[1:]] == [0]


def test_the_same_request_finds_the_same() -> None:
    assert solve("bb", beams=2) == solve("bb", beams=2)
