import copy
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from transformers import PreTrainedTokenizerFast

from restem.config.training import Training
from restem.errors import RestemError
from restem.tasks.registry import load_task
from restem.tasks.task import question_header
from restem.training.examples import EmptyExamples, Example, encode_examples


def test_targets_follow_the_prompts_tokens(tokenizer: Any) -> None:
    rows, skipped = encode_examples([Example("ab", " c", "cd##", 1.0)], tokenizer, Training(), None)
    assert rows[0].prompt == tokenizer("ab c").input_ids
    assert rows[0].target == tokenizer("cd##", add_special_tokens=False).input_ids
    assert skipped == {}


def test_a_token_across_the_seam_leaves_the_prompt_as_it_is_sampled(tokenizer: Any) -> None:
    rows, _ = encode_examples([Example("", "fa", "b##", 1.0)], tokenizer, Training(), None)
    assert rows[0].prompt == tokenizer("fa").input_ids
    assert tokenizer.decode(rows[0].target) == "b##"


def test_end_of_text_is_appended_on_request_only(tokenizer: Any) -> None:
    example = [Example("", "a", "b", 1.0)]
    with_end, _ = encode_examples(example, tokenizer, Training(end_of_text=True), None)
    without, _ = encode_examples(example, tokenizer, Training(), None)
    assert with_end[0].target == [*without[0].target, tokenizer.eos_token_id]


def test_end_of_text_needs_such_a_token(tokenizer: Any) -> None:
    bare = copy.deepcopy(tokenizer)
    bare.eos_token = None
    with pytest.raises(RestemError, match="no end-of-text token"):
        encode_examples([Example("", "a", "b", 1.0)], bare, Training(end_of_text=True), None)


def test_what_does_not_fit_is_counted_not_cut(tokenizer: Any) -> None:
    examples = [
        Example("", "a", "f" * 6, 1.0),
        Example("", "a", "f" * 7, 1.0),
        Example("", "a", "b", 0.0),
        Example("", "a", "", 1.0),
    ]
    rows, skipped = encode_examples(examples, tokenizer, Training(max_length_tokens=8), 100)
    assert [len(row) for row in rows] == [8]
    assert skipped == {"too_long": 1, "zero_weight": 1, "empty": 1}
    _, skipped = encode_examples(examples[:2] + examples[:1], tokenizer, Training(), 8)
    assert skipped == {"too_long": 1}


@pytest.mark.parametrize(
    "examples", [[], [Example("", "a", "b", 0.0)], [Example("", "a", "f" * 99, 1.0)]]
)
def test_nothing_left_is_an_error(tokenizer: Any, examples: list[Example]) -> None:
    with pytest.raises(EmptyExamples, match=f"{len(examples)} examples given"):
        encode_examples(examples, tokenizer, Training(), 50)


@pytest.mark.parametrize("weight", [float("nan"), float("inf")])
def test_impossible_weights_are_refused(tokenizer: Any, weight: float) -> None:
    with pytest.raises(RestemError, match="weight"):
        encode_examples([Example("", "a", "b", weight)], tokenizer, Training(), None)


@pytest.fixture(scope="module")
def like_gpt2() -> Any:
    """Return a tokenizer that splits texts as GPT-2's does, and joins two line breaks."""
    letters = sorted(ByteLevel.alphabet())
    vocabulary = {token: place for place, token in enumerate([*letters, "\u010a\u010a"])}
    plain = Tokenizer(BPE(vocabulary, [("\u010a", "\u010a")]))
    plain.pre_tokenizer = ByteLevel(add_prefix_space=False)
    plain.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=plain)


@pytest.mark.parametrize("task", ["gsm8k", "math", "reasoning_gym"])
def test_a_target_has_the_tokens_that_it_has_in_a_few_shot_prompt(
    like_gpt2: Any, task: str
) -> None:
    known = load_task(task)
    answer, header = known.answer("7"), question_header(known)
    first, second = known.question("3 + 4"), known.question("5 + 6")
    assert second.startswith(header) and header.endswith(":")
    [[encoded], _] = encode_examples(
        [Example("", first, answer, 1.0, following=header)], like_gpt2, Training(), None
    )
    prompt = like_gpt2(first + answer + second).input_ids
    assert prompt[: len(encoded)] == encoded.prompt + encoded.target
    assert like_gpt2.decode(encoded.target) == answer
    # At the end of a text the tokens would be others.
    assert like_gpt2(first + answer).input_ids[len(encoded.prompt) :] != encoded.target


def test_a_target_that_ends_the_text_has_the_tokens_of_an_end(like_gpt2: Any) -> None:
    like_gpt2.eos_token = "!"
    example = Example("", "Q: 1?\nA:", " 1.\n\n", 1.0, following="Q:")
    [[encoded], _] = encode_examples([example], like_gpt2, Training(end_of_text=True), None)
    assert encoded.target == [*like_gpt2(" 1.\n\n").input_ids, like_gpt2.eos_token_id]


def test_what_follows_in_one_token_with_the_target_changes_nothing(like_gpt2: Any) -> None:
    example = Example("", "Q: 1?\nA:", " 1.\n", 1.0, following="\nQ:")
    [[encoded], _] = encode_examples([example], like_gpt2, Training(), None)
    assert encoded.target == like_gpt2(" 1.\n").input_ids
