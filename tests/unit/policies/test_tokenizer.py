"""Prompts begin as the texts of pretraining do, and have no end; other tokenizers are refused."""

import copy
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from restem.config.decoding import Decoding
from restem.config.models import EngineSettings
from restem.config.training import Training
from restem.errors import RestemError
from restem.policies.checkpoint import load_policy
from restem.policies.tokenizer import load_tokenizer, start_ids
from restem.sampling.engine import Request
from restem.sampling.loading import load_engine
from restem.sampling.tokens import encode, encode_after, encode_prompts, end_ids
from restem.training.examples import Example, encode_examples
from tests.unit.tiny_models import word_tokenizer

BOS, EOS, PAD = 1, 2, 0


def framed(tokenizer: Any, before: str, after: str = "") -> Any:
    """Return a copy of a tokenizer that puts special tokens around a text."""
    changed = copy.deepcopy(tokenizer)
    changed.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{before} $A {after}".strip(),
        special_tokens=[("<bos>", BOS), ("<eos>", EOS), ("<pad>", PAD)],
    )
    return changed


@pytest.mark.parametrize(
    ("before", "after", "start"),
    [
        ("<bos>", "", [BOS]),
        ("<bos>", "<eos>", [BOS]),
        ("", "<eos>", []),
        ("", "", []),
        ("<bos> <bos>", "", [BOS]),
        ("<bos> <bos>", "<eos> <eos>", [BOS]),
        ("<eos>", "", [EOS]),  # the start token of OPT
        ("<eos>", "<eos>", [EOS]),
        ("<pad> <bos>", "", [PAD, BOS]),
    ],
)
def test_prompts_begin_once_and_have_no_end_in_sampling_and_in_training(
    tokenizer: Any, before: str, after: str, start: list[int]
) -> None:
    changed = framed(tokenizer, before, after)
    bare = tokenizer("abcd##", add_special_tokens=False).input_ids
    assert start_ids(changed) == start
    assert encode(changed, ["abcd##", ""]) == [start + bare, start]
    asked = [Request("p", "ab", "cd##", (0,), (0,))]
    assert encode_prompts(changed, asked) == [start + bare]
    [row], skipped = encode_examples(
        [Example("ab", "cd", "##", 1.0)], changed, Training(end_of_text=True), None
    )
    if skipped:
        pytest.fail(f"nothing may be skipped: {skipped}")
    assert (row.prompt, row.target) == (start + bare[:-1], [bare[-1], EOS])


def test_a_chat_prompt_has_the_tokens_of_its_text_alone(tokenizer: Any) -> None:
    changed = framed(tokenizer, "<bos> <bos>", "<eos>")
    chat = Request("p", "<bos>ab", "cd", (0,), (0,), chat=True)
    plain = Request("q", "", "ab", (0,), (0,))
    asked = encode_prompts(changed, [plain, chat, plain])
    once = encode(changed, ["ab"])[0]
    assert asked == [once, [BOS, *tokenizer("abcd", add_special_tokens=False).input_ids], once]


def test_a_text_that_begins_with_the_start_token_does_not_get_it_twice(tokenizer: Any) -> None:
    assert encode(tokenizer, ["<bos>ab"]) == encode(tokenizer, ["ab"])
    before = copy.deepcopy(tokenizer)
    before.backend_tokenizer.normalizer = normalizers.Prepend("<bos>")
    assert all(ids.count(BOS) <= 1 for ids in encode(before, ["ab", "<bos>ab"]))


@pytest.mark.parametrize("after", ["<pad>", "<eos> <pad>", "<bos>"])
def test_other_tokens_after_a_prompt_are_refused(tokenizer: Any, after: str) -> None:
    with pytest.raises(RestemError, match="which no text begins with"):
        encode(framed(tokenizer, "<bos>", after), ["ab"])


def saved(checkpoint: Path, **files: dict[str, Any]) -> Path:
    """Change JSON files of a checkpoint, named without their suffix."""
    for name, changes in files.items():
        file = checkpoint / f"{name}.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
    return checkpoint


def test_a_tokenizer_that_appends_the_end_samples_as_one_that_does_not(
    checkpoint: Path, tokenizer: Any
) -> None:
    engine = load_engine(checkpoint, EngineSettings(device="cpu"), 1)
    asked = [Request("p", "", "abcd", (0,), (0,))]
    decoding = Decoding(draws=1, temperature=0, max_tokens=8)
    [[expected]] = [c for c in engine.sample(asked, decoding, ()) if c]
    framed(tokenizer, "<bos>", "<eos>").save_pretrained(checkpoint)
    assert load_tokenizer(checkpoint)("a").input_ids[-1] == EOS
    engine = load_engine(checkpoint, EngineSettings(device="cpu"), 1)
    [[sampled]] = [c for c in engine.sample(asked, decoding, ()) if c]
    assert sampled == expected


@pytest.mark.parametrize("family", ["gemma", "gemma2", "gemma3_text"])
def test_a_family_that_needs_a_start_token_is_refused_without(
    checkpoint: Path, tokenizer: Any, family: str
) -> None:
    saved(checkpoint, config={"model_type": family})
    assert start_ids(load_tokenizer(checkpoint)) == [BOS]
    framed(tokenizer, "").save_pretrained(checkpoint)
    with pytest.raises(RestemError, match=f"the family {family} were pretrained with one"):
        load_tokenizer(checkpoint)


def test_a_start_token_that_is_promised_and_missing_is_refused(
    checkpoint: Path, tokenizer: Any
) -> None:
    framed(tokenizer, "").save_pretrained(checkpoint)
    assert load_policy(checkpoint)
    saved(checkpoint, tokenizer={"post_processor": None})
    saved(checkpoint, tokenizer_config={"add_bos_token": True})
    with pytest.raises(RestemError, match="`add_bos_token: true`"):
        load_policy(checkpoint)


def test_a_tokenizer_of_another_model_is_refused(checkpoint: Path, tokenizer: Any) -> None:
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.add_tokens(["<mask>"], special_tokens=True)  # that no text holds
    tokenizer.save_pretrained(checkpoint)
    assert load_tokenizer(checkpoint)
    word_tokenizer([*"abcdef #\n", *"ghijklm"], "[^<]").save_pretrained(checkpoint)
    with pytest.raises(RestemError, match="has 20 tokens, and the model knows 16"):
        load_tokenizer(checkpoint)


CUT = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}


@pytest.mark.parametrize(
    "change",
    [
        {"truncation": CUT},
        {
            "padding": {
                "strategy": {"Fixed": 8}, "direction": "Right", "pad_to_multiple_of": None,
                "pad_id": 0, "pad_type_id": 0, "pad_token": "<pad>",
            }
        },
    ],
)  # fmt: skip
def test_prompts_are_neither_cut_nor_filled_up(
    checkpoint: Path, tokenizer: Any, change: dict[str, Any]
) -> None:
    expected = encode(tokenizer, ["abcdef", "ab"])
    saved(checkpoint, tokenizer=change)
    assert encode(load_tokenizer(checkpoint), ["abcdef", "ab"]) == expected


def test_the_end_that_training_appends_ends_a_completion(tokenizer: Any) -> None:
    stated = type("Config", (), {"eos_token_id": 7})
    assert end_ids(stated, tokenizer) == (7, EOS)
    assert end_ids(type("Config", (), {"eos_token_id": [EOS, 7]}), tokenizer) == (EOS, 7)
    assert end_ids(type("Config", (), {"eos_token_id": None}), tokenizer) == (EOS,)


# ---- targets that go on from a prompt ----

PIECES = ["▁", "a", "b", "c", "1", "2", "+", "=", "ab", "bc", "12", "▁a", "▁ab", "▁1", "1+", "=2"]


def metaspace(scheme: str) -> Any:
    """Return a tokenizer as of Llama 2, with a space in front of a text and pieces that overlap."""
    pairs = [p for p in itertools.product(PIECES, PIECES) if "".join(p) in PIECES]
    ids = {
        token: index for index, token in enumerate(["<pad>", "<bos>", "<eos>", "<unk>", *PIECES])
    }
    core = Tokenizer(models.BPE(ids, pairs, unk_token="<unk>", fuse_unk=True))
    core.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme=scheme, split=False)
    core.decoder = decoders.Metaspace("▁", prepend_scheme=scheme, split=False)
    core.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", BOS)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<bos>", eos_token="<eos>", unk_token="<unk>",
        clean_up_tokenization_spaces=False,
    )  # fmt: skip


TOKENIZERS = {scheme: metaspace(scheme) for scheme in ("always", "first")}


def test_without_an_anchor_a_space_would_be_gained() -> None:
    tokenizer = TOKENIZERS["always"]
    alone = tokenizer("bc", add_special_tokens=False).input_ids
    assert tokenizer.convert_ids_to_tokens(alone)[0].startswith("▁")
    assert tokenizer.convert_ids_to_tokens(encode_after(tokenizer, "bc")) == ["bc"]


@given(
    st.sampled_from(sorted(TOKENIZERS)),
    st.text("abc12+= ", min_size=1, max_size=6),
    st.text("abc12+= ", min_size=1, max_size=6),
)
@hypothesis_settings(max_examples=300, deadline=None)
def test_a_policy_trains_on_the_text_that_it_wrote(scheme: str, prompt: str, target: str) -> None:
    tokenizer = TOKENIZERS[scheme]
    [row], _ = encode_examples([Example("", prompt, target, 1.0)], tokenizer, Training(), None)
    assert row.prompt == encode(tokenizer, [prompt])[0]
    tokens = tokenizer.convert_ids_to_tokens(row.prompt[1:] + row.target)
    text = "".join(tokens).replace("▁", " ")
    assert text.removeprefix(" ") == (prompt + target).removeprefix(" ")
