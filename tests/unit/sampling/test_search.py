"""A beam search keeps what leads to correct answers."""

from collections.abc import Iterator, Sequence
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restem.config.decoding import Decoding
from restem.config.reward import Reward
from restem.config.steps import Search
from restem.sampling.engine import Completion, PromptTooLong, Request
from restem.sampling.prompts import PromptForm
from restem.sampling.search import BeamSearch, search
from restem.tasks.problem import Problem

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


class ScriptedEngine:
    """Write one script letter by letter, as a model with a context and stop strings would.

    A token is a letter. A text before the stop string is returned without it; only what one call
    sampled is searched, as engines do.
    """

    name = "scripted"
    version = "1"

    def __init__(self, script: str, context: int = 1000, ends: bool = False) -> None:
        self.script, self.context, self.ends = script, context, ends
        self.prompts: list[str] = []
        self.longest = 0

    def sample(
        self, requests: Sequence[Request], decoding: Decoding, stop: tuple[str, ...]
    ) -> Iterator[list[Completion]]:
        long = [r.problem_id for r in requests if len(r.prompt) >= self.context]
        if long:
            raise PromptTooLong(long, self.context)
        return iter([[self._completion(r, d, decoding, stop) for d in r.draws] for r in requests])

    def _completion(
        self, request: Request, draw: int, decoding: Decoding, stop: tuple[str, ...]
    ) -> Completion:
        place = len(request.prompt) - len(ASK)
        self.prompts.append(request.prompt)
        room = self.context - len(request.prompt)
        text = self.script[place : place + min(decoding.max_tokens, room)]
        tokens, reason, stopped = len(text), "length", None
        self.longest = max(self.longest, place + tokens)
        cut = first_stop(text, stop)
        if cut:
            text, stopped = cut
            tokens, reason = len(text) + len(stopped), "stop"
        if reason == "length" and self.ends and place + tokens == len(self.script):
            tokens, reason, stopped = tokens + 1, "stop", "<eos>"
        prompt = len(request.prompt)
        return Completion(
            request.problem_id, draw, 0, text, tokens, prompt, reason, stopped, -float(tokens)
        )


def first_stop(text: str, stop: tuple[str, ...]) -> tuple[str, str] | None:
    """Return the text before the stop string that is complete first, and that string."""
    for end in range(len(text) + 1):
        cuts = [(text.index(one), one) for one in stop if one in text[:end]]
        if cuts:
            return text[: min(cuts)[0]], min(cuts)[1]
    return None


ASK = "ask "
LONG = "abcdefghijklmnopqrstuvwxyz"


def scripted(
    engine: ScriptedEngine, max_tokens: int = 100, stop: tuple[str, ...] = ("##",), **search: int
) -> Completion:
    settings = Search(**{"beams": 1, "expansions": 1, "rollouts": 1, "step_tokens": 4, **search})
    judged: list[str] = []

    def judge(pairs: Sequence[tuple[str, str]]) -> list[float]:
        judged.extend(text for _, text in pairs)
        return [0.0 for _ in pairs]

    decoding = Decoding(draws=1, temperature=0.7, max_tokens=max_tokens)
    beam = BeamSearch(engine, decoding, settings, stop, judge)
    [solution] = beam.solve(Request("p", "", ASK, (0,), (7,)))
    assert not any(string in text for text in judged for string in stop)
    return solution


@pytest.mark.parametrize("step", range(1, 9))
@pytest.mark.parametrize("place", range(1, 6))
def test_a_stop_string_ends_a_solution_wherever_the_steps_part_it(step: int, place: int) -> None:
    script = LONG[:place] + "#STOP#" + LONG
    solution = scripted(ScriptedEngine(script), stop=("STOP#", "#STOP"), step_tokens=step)
    assert (solution.text, solution.finish_reason) == (LONG[:place], "stop")
    assert solution.stop_reason == "#STOP"


def test_the_first_of_several_stop_strings_counts() -> None:
    solution = scripted(ScriptedEngine("abcXYdeZZ" + LONG), stop=("ZZ", "XY"), step_tokens=2)
    assert (solution.text, solution.stop_reason) == ("abc", "XY")


@pytest.mark.parametrize("most", range(1, 14))
@pytest.mark.parametrize("step", [1, 3, 4, 5, 20])
def test_no_step_goes_beyond_the_longest_completion(most: int, step: int) -> None:
    engine = ScriptedEngine(LONG)
    solution = scripted(engine, max_tokens=most, step_tokens=step)
    assert solution.text == LONG[:most]
    assert (solution.finish_reason, solution.stop_reason) == ("length", None)
    assert engine.longest == most


@pytest.mark.parametrize("context", range(5, 16))
@pytest.mark.parametrize("step", [1, 3, 4, 5, 20])
def test_a_solution_that_fills_the_context_ends_there(context: int, step: int) -> None:
    solution = scripted(ScriptedEngine(LONG, context), step_tokens=step)
    assert solution.text == LONG[: context - len(ASK)]
    assert (solution.finish_reason, solution.stop_reason) == ("length", None)


def test_an_end_of_text_token_is_the_reason_why_a_solution_stops() -> None:
    solution = scripted(ScriptedEngine("abcdef", ends=True))
    assert (solution.text, solution.finish_reason, solution.stop_reason) == (
        "abcdef", "stop", "<eos>",
    )  # fmt: skip


def test_half_a_character_is_no_part_of_the_next_prompt() -> None:
    engine = ScriptedEngine("abc\ufffd" + LONG)
    scripted(engine, max_tokens=6)
    assert {prompt.count("\ufffd") for prompt in engine.prompts} == {0}


def test_the_prompt_of_a_solution_is_that_of_its_request() -> None:
    assert scripted(ScriptedEngine(LONG), max_tokens=20).prompt_tokens == len(ASK)


def test_a_prompt_that_fills_the_context_is_refused() -> None:
    with pytest.raises(PromptTooLong):
        scripted(ScriptedEngine(LONG, context=4))


@given(
    st.text("ab#\n", max_size=24),
    st.integers(1, 6),
    st.integers(1, 30),
    st.integers(5, 30),
    st.sampled_from([("##",), ("#\n", "\n#"), ("ab#ab",), ("\n\n\n",), ()]),
)
@settings(max_examples=300, deadline=None)
def test_a_search_with_one_path_writes_what_a_draw_writes(
    script: str, step: int, most: int, context: int, stop: tuple[str, ...]
) -> None:
    script += "z" * 40
    found = scripted(ScriptedEngine(script, context), most, stop, step_tokens=step)
    decoding = Decoding(draws=1, temperature=0.7, max_tokens=most)
    asked = [Request("p", "", ASK, (0,), (0,))]
    [[drawn]] = ScriptedEngine(script, context).sample(asked, decoding, ())
    cut = first_stop(drawn.text, stop)
    expected = (cut[0], "stop", cut[1]) if cut else (drawn.text, "length", None)
    assert (found.text, found.finish_reason, found.stop_reason) == expected


class StopsEngine(LetterEngine):
    """Notes what is to end completions."""

    def __init__(self) -> None:
        super().__init__()
        self.stops: set[tuple[str, ...]] = set()

    def sample(
        self, requests: Sequence[Request], decoding: Decoding, stop: tuple[str, ...]
    ) -> Iterator[list[Completion]]:
        self.stops.add(stop)
        assert all(request.chat for request in requests)
        return super().sample(requests, decoding, stop)


def test_a_chat_model_is_asked_in_turns() -> None:
    engine, form = StopsEngine(), PromptForm("[user]", "[model]", chat=True, end="[end]")
    beam = Search(beams=1, expansions=2, rollouts=1)
    asked = SimpleNamespace(
        task="chain", address=("train", "explore", 0), decoding=SAMPLED, search=beam,
        verifier="math", reward=Reward(),
    )  # fmt: skip
    rows = search(asked, engine, "policy", form, [Problem("p", "Find $a$.", "1")])
    assert [row["problem_id"] for row in rows] == ["p"]
    assert engine.prompts[0] == "Problem: Find $a$.\nSolution:[model]"
    assert engine.stops == {("[end]",)}
