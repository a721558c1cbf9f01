"""vLLM's CPU build behind the protocol: what is asked for is drawn, as the other engine does."""

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from restem.config.decoding import Decoding
from restem.config.models import EngineSettings
from restem.embedded import weights
from restem.embedded.world import PROMPT, problems
from restem.errors import RestemError
from restem.sampling.engine import BadPrompts, Completion, Request, draw_seed
from restem.sampling.loading import load_engine
from restem.sampling.transformers.next_token import filtered

# Warnings of another project's libraries are not ours to fail on.
pytestmark = [pytest.mark.vllm, pytest.mark.filterwarnings("default")]

GREEDY = Decoding(draws=1, temperature=0, max_tokens=96)
RANDOM = Decoding(draws=6, temperature=0.7, top_k=40, top_p=0.95, min_p=0.01, max_tokens=96)
END = ("\n\n",)
SETTINGS = EngineSettings(name="vllm", device="cpu", rows=16, cache_gib=0.25)
PLAIN = EngineSettings(device="cpu")
Drawn = dict[tuple[str, int], Completion]


def requests(count: int, draws: int = 1, shots: int = 2) -> list[Request]:
    examples = problems("chain", "train", shots)
    prefix = "".join(
        PROMPT["chain"].format(question=shot["question"]) + shot["solutions"]["careful"] + "\n\n"
        for shot in examples
    )
    return [
        Request(
            problem["id"],
            prefix,
            PROMPT["chain"].format(question=problem["question"]),
            tuple(range(draws)),
            tuple(draw_seed("p", "s", "d", problem["id"], draw, 0) for draw in range(draws)),
        )
        for problem in problems("chain", "test", count)
    ]


def drawn(
    engine: Any, asked: list[Request], decoding: Decoding, stop: tuple[str, ...] = ()
) -> Drawn:
    found = [one for group in engine.sample(asked, decoding, stop) for one in group]
    by_address = {(one.problem_id, one.draw): one for one in found}
    assert len(by_address) == len(found) == sum(len(request.draws) for request in asked)
    return by_address


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("policy") / "checkpoint"
    weights.unpack("S", folder)
    return folder


@pytest.fixture(scope="session")
def engine(checkpoint: Path) -> Iterator[Any]:
    yield load_engine(checkpoint, SETTINGS, 1)


@pytest.fixture(scope="session")
def plain(checkpoint: Path) -> Any:
    return load_engine(checkpoint, PLAIN, 1)


def next_logprobs(plain: Any, tokens: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        return plain._model(torch.tensor([tokens])).logits[0, -1].log_softmax(-1)


def assert_tie(plain: Any, request: Request, left: str, right: str) -> None:
    """Two greedy texts may part only where two tokens are equally likely up to rounding."""
    start = plain._tokenizer(request.prefix + request.prompt).input_ids
    ours, other = (
        plain._tokenizer(text, add_special_tokens=False).input_ids for text in (left, right)
    )
    place = next(i for i, (a, b) in enumerate(zip(ours, other, strict=False)) if a != b)
    logprobs = next_logprobs(plain, start + ours[:place])
    assert abs(logprobs[ours[place]] - logprobs[other[place]]) < 1e-3


def test_greedy_agrees_with_the_other_engine_but_for_ties(engine: Any, plain: Any) -> None:
    asked = requests(100)
    ours, other = (drawn(one, asked, GREEDY, END) for one in (engine, plain))
    differ = [
        request
        for request in asked
        if ours[request.problem_id, 0].text != other[request.problem_id, 0].text
    ]
    assert len(differ) <= 5
    for request in differ:
        assert_tie(plain, request, *(found[request.problem_id, 0].text for found in (ours, other)))
    same = [address for address in ours if ours[address].text == other[address].text]
    for address in same:
        assert ours[address].logprob == pytest.approx(other[address].logprob, abs=2e-3)
        names = ("tokens", "prompt_tokens", "finish_reason", "stop_reason", "seed")
        for name in names:
            assert getattr(ours[address], name) == getattr(other[address], name)


def assert_equal_but_for_rounding(ours: Drawn, other: Drawn) -> None:
    """What was drawn is equal; a log-probability rounds as its company makes it."""
    assert {a: replace(one, logprob=0.0) for a, one in ours.items()} == {
        a: replace(other[a], logprob=0.0) for a in ours
    }
    for address, one in ours.items():
        assert one.logprob == pytest.approx(other[address].logprob, abs=1e-3)


def test_a_draw_does_not_depend_on_its_company(engine: Any) -> None:
    together = drawn(engine, requests(8, 6), RANDOM, END)
    shuffled = drawn(engine, random.Random(0).sample(requests(8, 6), 8), RANDOM, END)
    alone = {}
    for request in requests(8, 2):
        alone |= drawn(engine, [request], RANDOM, END)
    assert len({one.text for one in together.values()}) > 24
    assert set(shuffled) == set(together)
    assert_equal_but_for_rounding(shuffled, together)
    assert_equal_but_for_rounding(alone, together)


def test_only_asked_draws_come(engine: Any) -> None:
    whole = requests(1, 6)[0]
    some = Request(whole.problem_id, whole.prefix, whole.prompt, whole.draws[4:], whole.seeds[4:])
    found = drawn(engine, [some], RANDOM, END)
    assert {draw for _, draw in found} == {4, 5}


FILTERS = [
    {"top_k": 3},
    {"top_p": 0.6},
    {"min_p": 0.2},
    {"top_k": 8, "top_p": 0.8, "min_p": 0.02},
    {"temperature": 0.3},
    {"temperature": 1.9, "top_k": 4},
]


@pytest.mark.parametrize("filters", FILTERS, ids=str)
def test_draws_follow_the_filtered_distribution(
    engine: Any, plain: Any, filters: dict[str, float]
) -> None:
    decoding = Decoding(draws=400, **{"temperature": 1.0, **filters}, max_tokens=1)
    # Two operands in, the next operation is open.
    request = requests(1, 400)[0]
    start = plain._tokenizer(request.prefix + request.prompt).input_ids
    probabilities, ids = filtered(next_logprobs(plain, start)[None], decoding)
    whole = torch.zeros(len(plain._tokenizer), dtype=torch.float64)
    places = torch.arange(len(whole)) if ids is None else ids[0]
    whole[places] = (probabilities[0] / probabilities.sum()).double()
    found = drawn(engine, [request], decoding)
    texts = [one.text for one in found.values()]
    vocabulary = plain._tokenizer.batch_decode([[token] for token in range(len(whole))])
    counts = torch.tensor([float(texts.count(text)) for text in vocabulary])
    written = torch.tensor([text != "" for text in vocabulary])
    assert not (counts[written & (whole == 0)]).any()
    spread = (whole * (1 - whole) / 400).sqrt()
    assert ((counts / 400 - whole).abs()[written] <= 5 * spread[written] + 1e-9).all()


def test_a_completion_ends_where_it_is_told(engine: Any) -> None:
    free = drawn(engine, requests(4, 6), RANDOM)
    short = RANDOM.model_copy(update={"max_tokens": 5})
    assert {one.tokens for one in drawn(engine, requests(4, 6), short).values()} == {5}
    for stop in ("=", ",", "."):
        for address, one in drawn(engine, requests(4, 6), RANDOM, (stop, "\n\n")).items():
            whole = free[address].text.split("\n\n")[0]
            if stop in whole:
                assert (one.text, one.stop_reason) == (whole[: whole.index(stop)], stop)
                assert one.finish_reason == "stop"
            assert one.tokens <= free[address].tokens


def test_a_special_token_is_a_stop_string(engine: Any) -> None:
    by_end = drawn(engine, requests(4, 6), RANDOM)
    named = drawn(engine, requests(4, 6), RANDOM, ("<eos>",))
    assert named == by_end
    assert {one.stop_reason for one in named.values()} <= {"<eos>", None}


def test_bad_prompts_are_named_before_anything_is_drawn(engine: Any) -> None:
    long = Request("long", "", "So " * 600, (0,), (7,))
    with pytest.raises(BadPrompts, match="512 tokens") as caught:
        engine.sample([*requests(2), long], GREEDY, END)
    assert caught.value.problem_ids == ("long",)


def test_what_vllm_would_change_silently_is_refused(engine: Any) -> None:
    for temperature in (0.001, 2.5):
        with pytest.raises(RestemError, match="samples at temperatures from"):
            decoding = Decoding(draws=2, temperature=temperature, max_tokens=4)
            engine.sample(requests(1), decoding, END)
    with pytest.raises(RestemError, match="unknown to the model's tokenizer"):
        engine.sample(requests(1), GREEDY, ("☃",))


def test_the_gpu_build_is_not_this_one(checkpoint: Path) -> None:
    with pytest.raises(RestemError, match="this build of vLLM runs on cpu"):
        load_engine(checkpoint, EngineSettings(name="vllm"), 1)


def test_what_the_caller_leaves_is_taken_back(engine: Any) -> None:
    groups = engine.sample(requests(8, 6), RANDOM, END)
    next(groups)
    groups.close()
    assert not engine._llm.llm_engine.has_unfinished_requests()
    assert len(drawn(engine, requests(2, 3), RANDOM, END)) == 6


def test_usage_counts_shared_prompts_once(engine: Any) -> None:
    before = engine.usage()
    found = drawn(engine, requests(3, 8), RANDOM, END)
    after = engine.usage()
    asked = sum(one.prompt_tokens for one in found.values())
    assert after.prompt_tokens - before.prompt_tokens == asked
    assert after.cached_tokens - before.cached_tokens > 0.7 * asked
    assert (after.gpus, after.peak_memory_bytes > 10**8) == (0, True)
    assert "vllm" in engine.version
