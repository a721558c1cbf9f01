from typing import Any

import pytest

from restem.config.decoding import Decoding
from restem.errors import RestemError
from restem.sampling.chat import as_chat
from restem.sampling.engine import Request
from restem.sampling.tokens import encode_prompts
from restem.sampling.transformers.engine import TransformersEngine

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ '#' if m.role == 'user' else 'd' }}"
    "{{ m.content }}{{ eos_token }}{% endfor %}{% if add_generation_prompt %}d{% endif %}"
)
SHOTS = [("ab ", " cc\n"), ("ba", "fe")]
ASKED = [Request("p", "few shots", " bb ", (0, 1), (5, 6)), Request("q", "", "fa", (0,), (7,))]


@pytest.fixture
def talking(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(tokenizer, "chat_template", TEMPLATE)
    return tokenizer


def test_examples_become_turns_that_all_questions_share(talking: Any) -> None:
    first, second = as_chat(ASKED, SHOTS, talking, "here")
    assert first.prefix == second.prefix == "<bos>#ab<eos>dcc<eos>#ba<eos>dfe<eos>#"
    assert (first.prompt, second.prompt) == ("bb<eos>d", "fa<eos>d")
    assert (first.problem_id, first.draws, first.seeds) == ("p", (0, 1), (5, 6))


def test_the_tokens_are_those_of_the_template(talking: Any) -> None:
    asked = as_chat(ASKED, SHOTS, talking, "here")
    turns = [
        {"role": r, "content": c} for q, a in SHOTS for r, c in (("user", q), ("assistant", a))
    ]
    turns = [{**turn, "content": turn["content"].strip()} for turn in turns]
    turns.append({"role": "user", "content": "bb"})
    text = talking.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    expected = talking(text, add_special_tokens=False).input_ids
    assert encode_prompts(talking, asked)[0] == expected
    assert expected.count(talking.bos_token_id) == 1
    plain = encode_prompts(talking, [ASKED[1]])[0]
    assert encode_prompts(talking, [asked[0], ASKED[1]]) == [expected, plain]


def test_draws_follow_a_chat_prompt(talking: Any, model: Any) -> None:
    asked = as_chat(ASKED, SHOTS, talking, "here")
    decoding = Decoding(draws=2, temperature=1, max_tokens=5)
    engine = TransformersEngine(model, talking)
    completions = [c for group in engine.sample(asked, decoding, ()) for c in group]
    lengths = {len(row) for row in encode_prompts(talking, asked)}
    assert {completion.prompt_tokens for completion in completions} == lengths


def test_a_model_without_a_template_is_refused(tokenizer: Any) -> None:
    with pytest.raises(RestemError, match="no chat template"):
        as_chat(ASKED, SHOTS, tokenizer, "here")


@pytest.mark.parametrize(
    "template",
    ["{{ messages[-1].content | upper }}", "{{ messages[-1].content }}", "nothing at all"],
)
def test_a_template_that_changes_the_words_is_refused(
    tokenizer: Any, monkeypatch: pytest.MonkeyPatch, template: str
) -> None:
    monkeypatch.setattr(tokenizer, "chat_template", template)
    with pytest.raises(RestemError, match="changes or leaves out"):
        as_chat(ASKED, SHOTS, tokenizer, "here")
