"""Both engines ask a chat model with the same tokens, and end its turns alike."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from restem.config.decoding import Decoding
from restem.config.models import EngineSettings
from restem.embedded import weights
from restem.embedded.world import PROMPT, problems
from restem.policies.tokenizer import load_tokenizer
from restem.sampling.chat import chat_form
from restem.sampling.engine import Completion, Request
from restem.sampling.loading import load_engine
from restem.sampling.tokens import encode_prompts

# Warnings of another project's libraries are not ours to fail on.
pytestmark = [pytest.mark.vllm, pytest.mark.filterwarnings("default")]

# In the manner of Mistral; the model knows the text between turns from its pretraining.
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if m.role == 'user' %}{{ m.content }}{% else %}{{ ' ' + m.content + eos_token }}{% endif %}"
    "{% endfor %}"
)
GREEDY = Decoding(draws=1, temperature=0, max_tokens=64)
BEGIN, END = "<think>", "</think>"
VLLM = EngineSettings(name="vllm", device="cpu", rows=16, cache_gib=0.25)
PLAIN = EngineSettings(device="cpu")


def _rename(file: Path, names: dict[str, str]) -> None:
    """Give tokens that the problems here do not need other names."""
    content = json.loads(file.read_text())
    vocabulary = content["model"]["vocab"]
    plain = ("single_word", "lstrip", "rstrip", "normalized", "special")
    for old, new in names.items():
        vocabulary[new] = vocabulary.pop(old)
        token = {"id": vocabulary[new], "content": new, **dict.fromkeys(plain, False)}
        content["added_tokens"].append(token)
    file.write_text(json.dumps(content))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("policy") / "checkpoint"
    weights.unpack("S", folder)
    _rename(folder / "tokenizer.json", {" Jan ": BEGIN, " Feb ": END})
    tokenizer = load_tokenizer(folder)
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def engine(checkpoint: Path) -> Any:
    return load_engine(checkpoint, VLLM, 1)


def requests(checkpoint: Path, count: int = 12) -> tuple[list[Request], tuple[str, ...]]:
    asked = [(p["id"], PROMPT["chain"].format(question=p["question"])) for p in _problems(count)]
    shots = [
        (PROMPT["chain"].format(question=p["question"]), p["solutions"]["careful"])
        for p in problems("chain", "train", 1)
    ]
    form = chat_form(shots, load_tokenizer(checkpoint), str(checkpoint))
    return [form.request(name, text, (0,), (0,)) for name, text in asked], form.stops(("\n\n",))


def _problems(count: int) -> list[dict[str, Any]]:
    return problems("chain", "test", count)


def drawn(engine: Any, asked: list[Request], stops: tuple[str, ...]) -> dict[str, Completion]:
    return {c.problem_id: c for group in engine.sample(asked, GREEDY, stops) for c in group}


def test_both_engines_ask_and_end_alike(engine: Any, checkpoint: Path) -> None:
    asked, stops = requests(checkpoint)
    ours, other = (drawn(one, asked, stops) for one in (engine, load_engine(checkpoint, PLAIN, 1)))
    lengths = map(len, encode_prompts(load_tokenizer(checkpoint), asked))
    assert [ours[r.problem_id].prompt_tokens for r in asked] == list(lengths)
    alike = [name for name in ours if ours[name].text == other[name].text]
    assert len(alike) >= len(asked) - 1  # a tie may go either way
    for name in alike:
        assert ours[name].stop_reason == other[name].stop_reason
        assert ours[name].logprob == pytest.approx(other[name].logprob, abs=2e-3)
    assert {completion.stop_reason for completion in ours.values()} == {"<eos>"}


def test_vllm_reads_the_tokens_as_they_are(engine: Any, checkpoint: Path) -> None:
    """What it says that it read begins once, also where its own tokenizer would begin it again."""
    asked, stops = requests(checkpoint, 2)
    expected = encode_prompts(load_tokenizer(checkpoint), asked)
    read: list[list[int]] = []
    completions = engine._completions
    engine._completions = lambda finished, ends: (
        read.extend(list(output.prompt_token_ids) for _, output in finished)
        or completions(finished, ends)
    )
    drawn(engine, asked, stops)
    assert sorted(read) == sorted(expected)
    assert all(ids.count(1) == 1 for ids in read)


@pytest.mark.parametrize("limit", [0, 5])
def test_thoughts_end_after_so_many_tokens(engine: Any, checkpoint: Path, limit: int) -> None:
    asked, stops = requests(checkpoint, 4)
    asked = [replace(r, prompt=r.prompt + BEGIN, draws=(0, 1), seeds=(1, 2)) for r in asked]
    decoding = Decoding(draws=2, temperature=0.7, max_tokens=64)
    free, limited, again = (
        {(c.problem_id, c.draw): c.text for group in engine.sample(asked, d, stops) for c in group}
        for d in (decoding, *[decoding.model_copy(update={"thinking_tokens": limit})] * 2)
    )
    assert limited == again
    tokenizer = load_tokenizer(checkpoint)
    for address, text in limited.items():
        assert END not in free[address]
        thoughts, _, answer = text.partition(END)
        assert len(tokenizer(thoughts, add_special_tokens=False).input_ids) == limit
        assert END not in answer
        assert free[address].startswith(thoughts)
