"""vLLM's CPU build behind the protocol samples what the other engine samples."""

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

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
    completions = [c for group in engine.sample(asked, decoding, stop) for c in group]
    by_address = {(c.problem_id, c.draw): c for c in completions}
    assert len(by_address) == len(completions) == sum(len(request.draws) for request in asked)
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
    ours, other = (drawn(sampler, asked, GREEDY, END) for sampler in (engine, plain))
    differ = [
        request
        for request in asked
        if ours[request.problem_id, 0].text != other[request.problem_id, 0].text
    ]
    assert len(differ) <= 5
    for request in differ:
        assert_tie(plain, request, *(side[request.problem_id, 0].text for side in (ours, other)))
    same = [address for address in ours if ours[address].text == other[address].text]
    for address in same:
        assert ours[address].logprob == pytest.approx(other[address].logprob, abs=2e-3)
        names = ("tokens", "prompt_tokens", "finish_reason", "stop_reason", "seed")
        for name in names:
            assert getattr(ours[address], name) == getattr(other[address], name)


def assert_equal_but_for_rounding(ours: Drawn, other: Drawn) -> None:
    """The other draws of a batch change only the rounding of a log-probability."""
    assert {a: replace(c, logprob=0.0) for a, c in ours.items()} == {
        a: replace(other[a], logprob=0.0) for a in ours
    }
    for address, completion in ours.items():
        assert completion.logprob == pytest.approx(other[address].logprob, abs=1e-3)


def test_a_draw_does_not_depend_on_other_draws(engine: Any) -> None:
    together = drawn(engine, requests(8, 6), RANDOM, END)
    shuffled = drawn(engine, random.Random(0).sample(requests(8, 6), 8), RANDOM, END)
    alone = {}
    for request in requests(8, 2):
        alone |= drawn(engine, [request], RANDOM, END)
    assert len({c.text for c in together.values()}) > 24
    assert set(shuffled) == set(together)
    assert_equal_but_for_rounding(shuffled, together)
    assert_equal_but_for_rounding(alone, together)


def test_only_requested_draws_come(engine: Any) -> None:
    whole = requests(1, 6)[0]
    some = Request(whole.problem_id, whole.prefix, whole.prompt, whole.draws[4:], whole.seeds[4:])
    completions = drawn(engine, [some], RANDOM, END)
    assert {draw for _, draw in completions} == {4, 5}


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
    completions = drawn(engine, [request], decoding)
    texts = [c.text for c in completions.values()]
    vocabulary = plain._tokenizer.batch_decode([[token] for token in range(len(whole))])
    counts = torch.tensor([float(texts.count(text)) for text in vocabulary])
    written = torch.tensor([text != "" for text in vocabulary])
    assert not (counts[written & (whole == 0)]).any()
    spread = (whole * (1 - whole) / 400).sqrt()
    assert ((counts / 400 - whole).abs()[written] <= 5 * spread[written] + 1e-9).all()


def test_a_completion_ends_at_stop_strings_and_max_tokens(engine: Any) -> None:
    free = drawn(engine, requests(4, 6), RANDOM)
    short = RANDOM.model_copy(update={"max_tokens": 5})
    assert {c.tokens for c in drawn(engine, requests(4, 6), short).values()} == {5}
    for stop in ("=", ",", "."):
        for address, completion in drawn(engine, requests(4, 6), RANDOM, (stop, "\n\n")).items():
            whole = free[address].text.split("\n\n")[0]
            if stop in whole:
                assert (completion.text, completion.stop_reason) == (
                    whole[: whole.index(stop)],
                    stop,
                )
                assert completion.finish_reason == "stop"
            assert completion.tokens <= free[address].tokens


def test_a_special_token_is_a_stop_string(engine: Any) -> None:
    by_end = drawn(engine, requests(4, 6), RANDOM)
    named = drawn(engine, requests(4, 6), RANDOM, ("<eos>",))
    assert_equal_but_for_rounding(named, by_end)
    assert {c.stop_reason for c in named.values()} <= {"<eos>", None}


def test_bad_prompts_are_named_before_anything_is_drawn(engine: Any) -> None:
    long = Request("long", "", "So " * 600, (0,), (7,))
    with pytest.raises(BadPrompts, match="512 tokens") as caught:
        engine.sample([*requests(2), long], GREEDY, END)
    assert caught.value.problem_ids == ("long",)


def changed(checkpoint: Path, folder: Path, edit: Any) -> Path:
    """Return a copy of a checkpoint with other weights."""
    shutil.copytree(checkpoint, folder)
    file = folder / "model.safetensors"
    save_file(edit(load_file(file)), file, metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize("lack", ["layers.1.", "model.norm.weight"])
def test_a_checkpoint_that_is_not_whole_is_refused(
    checkpoint: Path, tmp_path: Path, lack: str
) -> None:
    folder = changed(
        checkpoint, tmp_path / "lack", lambda w: {n: t for n, t in w.items() if lack not in n}
    )
    with pytest.raises(RestemError, match=f"missing .*{lack}"):
        load_engine(folder, SETTINGS, 1)


# A second engine in one process takes the first one's place, so this one has its own.
SAMPLE_FROM = """
import sys
from pathlib import Path
from restem.errors import RestemError
from restem.sampling.loading import load_engine
from tests.vllm.test_vllm_engine import END, GREEDY, RANDOM, SETTINGS, drawn, requests

engine = load_engine(Path(sys.argv[1]), SETTINGS, 1)
for decoding in (GREEDY, RANDOM):
    try:
        drawn(engine, requests(2, decoding.draws), decoding, END)
    except RestemError as error:
        print("refused:", error.what, error.where)
"""


def test_probabilities_that_are_no_numbers_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    norm = "model.norm.weight"
    folder = changed(checkpoint, tmp_path / "nan", lambda w: w | {norm: w[norm] * torch.nan})
    command = [sys.executable, "-W", "ignore", "-c", SAMPLE_FROM, str(folder)]
    root = Path(__file__).parents[2]
    own = {k: v for k, v in os.environ.items() if not k.startswith("VLLM_")}  # vLLM has set some
    done = subprocess.run(command, cwd=root, env=own, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("refused:")]
    assert len(lines) == 2, done.stdout + done.stderr
    for line in lines:
        assert f"not finite numbers {folder}, at problem {requests(1)[0].problem_id[:3]}" in line


def test_settings_that_vllm_would_change_silently_are_refused(engine: Any) -> None:
    for temperature in (0.001, 2.5):
        with pytest.raises(RestemError, match="samples at temperatures from"):
            decoding = Decoding(draws=2, temperature=temperature, max_tokens=4)
            engine.sample(requests(1), decoding, END)
    with pytest.raises(RestemError, match="unknown to the model's tokenizer"):
        engine.sample(requests(1), GREEDY, ("☃",))


def test_the_gpu_build_is_not_this_one(checkpoint: Path) -> None:
    with pytest.raises(RestemError, match="this build of vLLM runs on cpu"):
        load_engine(checkpoint, EngineSettings(name="vllm"), 1)


def test_draws_that_the_caller_abandons_are_aborted(engine: Any) -> None:
    groups = engine.sample(requests(8, 6), RANDOM, END)
    next(groups)
    groups.close()
    assert not engine._llm.llm_engine.has_unfinished_requests()
    assert len(drawn(engine, requests(2, 3), RANDOM, END)) == 6


def test_usage_counts_shared_prompts_once(engine: Any) -> None:
    before = engine.usage()
    completions = drawn(engine, requests(3, 8), RANDOM, END)
    after = engine.usage()
    asked = sum(c.prompt_tokens for c in completions.values())
    assert after.prompt_tokens - before.prompt_tokens == asked
    assert after.cached_tokens - before.cached_tokens > 0.7 * asked
    assert (after.gpus, after.peak_memory_bytes > 10**8) == (0, True)
    assert "vllm" in engine.version
