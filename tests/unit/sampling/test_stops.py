from typing import Any

import pytest
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from restem.sampling.stops import Detokenizer, Stops

TEXT = "the cat sat on the mat\n\nthe end of the café — naïve « quoted »\n" * 3


def byte_level() -> Any:
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=290, initial_alphabet=alphabet, show_progress=False)
    core.train_from_iterator([TEXT], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<end>")


def metaspace() -> Any:
    core = Tokenizer(models.BPE(unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=80, special_tokens=["<unk>"], show_progress=False)
    core.train_from_iterator([TEXT], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<end>")


@pytest.fixture(scope="module", params=[byte_level, metaspace])
def real(request: Any) -> Any:
    return request.param()


def test_completions_keep_their_first_space(real: Any) -> None:
    ids = real("a the end").input_ids[len(real("a").input_ids) :]
    assert Detokenizer(real).texts([ids]) == [" the end"]


@pytest.mark.parametrize("stop", ["mat", "the e", "d of", "\n\n", "é", "— n", "ï", "»"])
def test_rows_end_with_the_token_that_completes_a_stop_string(real: Any, stop: str) -> None:
    stops = Stops(real, (stop, "@@@"), [real.eos_token_id], len(real))
    # Character by character, so that stop strings span as many tokens as they can.
    ids = [token for char in TEXT for token in real(char, add_special_tokens=False).input_ids]
    texts = Detokenizer(real).texts([ids[:k] for k in range(1, len(ids) + 1)])
    expected = next((k for k, text in enumerate(texts, 1) if stop in text), None)
    running = torch.ones(1, dtype=torch.bool)
    ended = (k for k in range(1, len(ids) + 1) if stops.ended(torch.tensor([ids[:k]]), running))
    end = next(ended, None)
    assert end == expected
    if end:
        assert stops.texts([ids[:end]]) == [(texts[end - 1].split(stop)[0], stop)]


def test_finished_rows_do_not_end_again(real: Any) -> None:
    stops = Stops(real, (), [real.eos_token_id], len(real))
    tokens = torch.full((2, 3), real.eos_token_id)
    assert stops.ended(tokens, torch.tensor([True, False])).tolist() == [True, False]


def test_end_of_text_leaves_no_text(real: Any) -> None:
    stops = Stops(real, (), [real.eos_token_id], len(real))
    ids = real("the end", add_special_tokens=False).input_ids
    text = Detokenizer(real).texts([ids])[0]
    assert stops.texts([[*ids, real.eos_token_id], ids]) == [(text, "<end>"), (text, None)]


@pytest.mark.parametrize("special", [True, False])
def test_added_tokens_end_a_completion_only_if_they_are_special(special: bool) -> None:
    """Gemma has tokens for one, two and more line breaks, which are text."""
    tokenizer = byte_level()
    tokens = [AddedToken("\n" * count, special=special) for count in (1, 2)]
    tokenizer.add_tokens(tokens, special_tokens=special)
    stops = Stops(tokenizer, ("\n",), [tokenizer.eos_token_id], len(tokenizer))
    ids = tokenizer("the cat\n\n", add_special_tokens=False).input_ids
    assert ids[-1] == tokenizer.convert_tokens_to_ids("\n\n")
    ended = stops.ended(torch.tensor([ids]), torch.ones(1, dtype=torch.bool)).item()
    assert ended == (not special)
    assert stops.texts([ids]) == [("the cat", None if special else "\n")]
