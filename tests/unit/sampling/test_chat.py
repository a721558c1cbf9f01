"""Prompts and targets are the turns of a chat template, with equal tokens wherever they are used.

The templates are tiny ones in the manner of four families (tests/unit/chat_families.py).
"""

import copy
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from restem.config.decoding import Decoding
from restem.config.training import Training
from restem.errors import RestemError
from restem.sampling.chat import chat_form
from restem.sampling.engine import Request
from restem.sampling.pool import request_digest
from restem.sampling.prompts import PromptForm, Prompts
from restem.sampling.stops import Ends
from restem.sampling.tokens import encode_prompts
from restem.sampling.transformers.engine import TransformersEngine
from restem.sampling.vllm import engine as vllm_engine
from restem.tasks.problem import SHOT, Problem
from restem.tasks.registry import load_task
from restem.training.examples import encode_examples, in_form
from tests.unit.chat_families import FAMILIES, chat_tokenizer
from tests.unit.tiny_models import tiny_llama

TASK = load_task("math")
SHOTS = [("Add 1 and 2. ", " It is 3.\n"), ("Add 2 and 2.", "It is 4.")]
QUESTIONS = {"p": " Add 3 and 4.\n", "q": "Add 5 and 5."}
SAID = "\nIt is 7.\n"  # begins with half of a token that the prompt's last character may begin

families = pytest.mark.parametrize("family", FAMILIES)


def form_of(family: str, shots: Any = SHOTS) -> PromptForm:
    return chat_form(shots, chat_tokenizer(family), family)


def turns(question: str, answer: str | None = None, shots: Any = SHOTS) -> list[dict[str, str]]:
    pairs = [
        (role, text.strip()) for q, a in shots for role, text in (("user", q), ("assistant", a))
    ]
    pairs += [("user", question.strip())] + ([("assistant", answer)] if answer is not None else [])
    return [{"role": role, "content": text} for role, text in pairs]


def as_the_library_has_it(family: str, question: str) -> list[int]:
    tokenizer = chat_tokenizer(family)
    day = datetime(2024, 7, 26).strftime
    ids = tokenizer.apply_chat_template(
        turns(question), add_generation_prompt=True, return_dict=False, strftime_now=day
    )
    return list(ids)


def row(text: str, source: str = "model", question: str = QUESTIONS["p"]) -> dict[str, Any]:
    texts = {"prefix": "running text", "prompt": question, "target": text}
    return {"source": source, "weight": 1.0, **texts}


def trained(family: str, *rows: dict[str, Any], **training: Any) -> list[Any]:
    settings = Training(**training)
    examples = in_form(rows, form_of(family), TASK, settings.thoughts)
    encoded, skipped = encode_examples(examples, chat_tokenizer(family), settings, None)
    assert skipped == {}
    return encoded


def asked(family: str) -> list[Request]:
    form = form_of(family)
    return [form.request(name, text, (0, 1), (5, 6)) for name, text in QUESTIONS.items()]


# ---- equal tokens ----


@families
def test_the_tokens_of_a_prompt_are_those_of_the_template(family: str) -> None:
    expected = [as_the_library_has_it(family, question) for question in QUESTIONS.values()]
    assert encode_prompts(chat_tokenizer(family), asked(family)) == expected


@families
def test_sampling_and_training_have_equal_tokens_before_the_answer(family: str) -> None:
    prompts = encode_prompts(chat_tokenizer(family), asked(family))
    encoded = trained(family, *(row(SAID, question=text) for text in QUESTIONS.values()))
    assert [example.prompt for example in encoded] == prompts
    assert len({example.family for example in encoded}) == 1


@families
def test_the_target_is_what_was_sampled_and_the_end_of_the_turn(family: str) -> None:
    tokenizer, end = chat_tokenizer(family), FAMILIES[family].end
    [example] = trained(family, row(SAID))
    said = tokenizer(SAID, add_special_tokens=False).input_ids
    assert example.target == [*said, tokenizer.convert_tokens_to_ids(end)]


@families
def test_a_reference_solution_becomes_the_turn_that_the_template_writes(family: str) -> None:
    tokenizer, end = chat_tokenizer(family), FAMILIES[family].end
    [example] = trained(family, row("It is 7.", "human:careful"))
    text = tokenizer.apply_chat_template(
        turns(QUESTIONS["p"], "It is 7."),
        tokenize=False,
        strftime_now=datetime(2024, 7, 26).strftime,
    )
    whole = tokenizer(text[: text.rindex(end) + len(end)], add_special_tokens=False).input_ids
    assert example.prompt + example.target == whole
    assert tokenizer.decode(example.target) == FAMILIES[family].opening + "It is 7." + end


@families
def test_a_text_begins_once(family: str) -> None:
    tokenizer = chat_tokenizer(family)
    start = tokenizer.convert_tokens_to_ids("<bos>")
    expected = int(FAMILIES[family].bos)
    for ids in encode_prompts(tokenizer, asked(family)):
        assert ids.count(start) == expected
    [example] = trained(family, row(SAID))
    assert (example.prompt + example.target).count(start) == expected


def test_a_start_token_that_is_written_twice_is_there_once() -> None:
    tokenizer = chat_tokenizer("gemma")
    [ids] = encode_prompts(tokenizer, [Request("p", "<bos><bos>", "a", (0,), (0,), chat=True)])
    assert ids == tokenizer("a").input_ids


def test_prompts_are_the_same_on_any_day() -> None:
    text = form_of("llama3").prefix
    assert "Today: 26 Jul 2024" in text
    today = chat_tokenizer("llama3").apply_chat_template(turns("?"), tokenize=False)
    assert datetime.now().strftime("%Y") in today  # the template does write the date


# ---- both engines ----


class Recorder:
    """Stands for vLLM: records the prompts that it is given."""

    def __init__(self) -> None:
        self.prompts: list[list[int]] = []
        self.params: list[Any] = []
        self.llm_engine = self

    def enqueue(self, prompt: dict[str, list[int]], params: Any, **_: Any) -> list[str]:
        self.prompts.append(prompt["prompt_token_ids"])
        self.params.append(params)
        return [str(len(self.prompts))]

    def step(self) -> list[Any]:
        raise InterruptedError

    def abort_request(self, *_: Any, **__: Any) -> None:
        pass


@families
def test_vllm_gets_the_tokens_that_training_has(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer, recorder = chat_tokenizer(family), Recorder()
    monkeypatch.setattr(vllm_engine, "sampling_params", lambda decoding, seed, ends: ends)
    engine = object.__new__(vllm_engine.VllmEngine)
    engine.__dict__ |= {
        "_tokenizer": tokenizer, "_context": None, "_ends": (tokenizer.eos_token_id,), "_rows": 8,
        "_llm": recorder, "_adapter": None, "_queued": 0, "_thinks": False, "_policy": "",
        "_seeds_per_draw": True,
    }  # fmt: skip
    stops = form_of(family).stops(TASK.stop)
    with pytest.raises(InterruptedError):
        list(engine.sample(asked(family), Decoding(draws=2, temperature=1, max_tokens=4), stops))
    encoded = trained(family, *(row(SAID, question=text) for text in QUESTIONS.values()))
    assert recorder.prompts == [ids for example in encoded for ids in [example.prompt] * 2]
    end = encoded[0].target[-1]
    assert all(end in ends.end_ids and not ends.strings for ends in recorder.params)


@families
def test_transformers_gets_the_tokens_that_training_has(family: str) -> None:
    tokenizer = chat_tokenizer(family)
    seen: list[list[int]] = []
    model = tiny_llama(len(tokenizer), context=400, initializer_range=0.2)
    engine = TransformersEngine(model, tokenizer)
    inner = engine._decode
    engine._decode = lambda pending, *rest: (  # type: ignore[method-assign]
        seen.extend(part.tokens for part in pending) or inner(pending, *rest)
    )
    decoding = Decoding(draws=2, temperature=1, max_tokens=4)
    drawn = [
        c for g in engine.sample(asked(family), decoding, form_of(family).stops(())) for c in g
    ]
    encoded = trained(family, *(row(SAID, question=text) for text in QUESTIONS.values()))
    assert sorted(seen) == sorted(example.prompt for example in encoded)
    assert {c.prompt_tokens for c in drawn} == {len(example.prompt) for example in encoded}


@families
def test_the_end_of_a_turn_ends_a_completion_and_no_string_of_the_task_does(family: str) -> None:
    tokenizer = chat_tokenizer(family)
    stops = form_of(family).stops(TASK.stop)
    ends = Ends(tokenizer, stops, (tokenizer.eos_token_id,))
    [example] = trained(family, row("<think>Problem: 7?</think>7"))
    assert ends.texts([example.target]) == [("<think>Problem: 7?</think>7", FAMILIES[family].end)]


# ---- thoughts ----


THOUGHT = "<think>\nOh.\n</think>\n\n7"


def target(family: str, text: str, **training: Any) -> str:
    [example] = trained(family, row(text), **training)
    return str(chat_tokenizer(family).decode(example.target))


@families
def test_thoughts_stay_in_the_target_unless_they_are_to_be_stripped(family: str) -> None:
    end, opening = FAMILIES[family].end, FAMILIES[family].opening
    assert target(family, THOUGHT) == THOUGHT + end
    assert target(family, THOUGHT, thoughts="strip") == opening + "7" + end
    assert target(family, SAID, thoughts="strip") == SAID + end


def test_worked_examples_lose_their_thoughts_where_the_template_has_it_so() -> None:
    shots = [("Add 1 and 2.", "<think>\nHm.\n</think>\n\nIt is 3.")]
    assert "Hm." not in form_of("chatml", shots).prefix
    assert "It is 3." in form_of("chatml", shots).prefix
    assert "<think>\nHm.\n</think>" in form_of("gemma", shots).prefix


def begun(family: str, last: str) -> PromptForm:
    """Return the form of a template whose prompts end in thoughts."""
    tokenizer = copy.deepcopy(chat_tokenizer(family))
    start = {"chatml": "<|im_start|>assistant\\n", "gemma": "<turn>model\\n"}[family]
    changed = tokenizer.chat_template.replace(f"'{start}' -", f"'{start}{last}' -")
    tokenizer.chat_template = changed
    return chat_form(SHOTS, tokenizer, "here")


@pytest.mark.parametrize("family", ["chatml", "gemma"])
def test_thoughts_that_the_prompt_begins_are_closed_where_there_are_none(family: str) -> None:
    form, end = begun(family, "<think>\\n"), FAMILIES[family].end
    assert form.after.endswith("<think>\n")
    assert form.target("Oh.\n</think>\n\n7", sampled=True) == f"Oh.\n</think>\n\n7{end}"
    assert form.target("7", sampled=False) == f"\n</think>\n\n7{end}"
    assert form.target(THOUGHT, sampled=False) == f"Oh.\n</think>\n\n7{end}"


@pytest.mark.parametrize("family", ["chatml", "gemma"])
def test_after_thoughts_that_the_prompt_has_closed_comes_the_answer(family: str) -> None:
    form = begun(family, "<think>\\n\\n</think>\\n\\n")
    assert form.after.endswith("</think>\n\n")
    assert form.target("7", sampled=False) == "7" + FAMILIES[family].end


def test_the_transformers_engine_refuses_to_limit_thoughts() -> None:
    tokenizer = chat_tokenizer("gemma")
    engine = TransformersEngine(tiny_llama(len(tokenizer), 400, 0.2), tokenizer)
    limited = Decoding(draws=2, temperature=1, max_tokens=4, thinking_tokens=2)
    with pytest.raises(RestemError, match="does not limit thoughts"):
        engine.sample(asked("gemma"), limited, ())


# ---- templates that cannot be used ----


def with_template(template: str) -> Any:
    tokenizer = copy.deepcopy(chat_tokenizer("gemma"))
    tokenizer.chat_template = template
    return tokenizer


TURN = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{{ eos_token }}{% endfor %}"


@pytest.mark.parametrize(
    ("template", "what"),
    [
        (None, "no chat template"),
        ("{{ messages[-1].content | upper }}", "changes or leaves out the text"),
        ("{{ messages[-1].content }}", "changes or leaves out the text"),
        ("nothing at all", "changes or leaves out the text"),
        ("{{ raise_exception('not you') }}", "refuses a conversation .*: not you"),
        (TURN + "{% if add_generation_prompt %}[model]{% endif %}", "in another way than it asks"),
        (TURN + "{% if add_generation_prompt %}[assistant] Well,{% endif %}", "in another way"),
        (
            "{% for m in messages %}[{{ m.role }}]{{ '<final>' if m.role == 'assistant' }}"
            "{{ m.content }}{{ eos_token }}{% endfor %}"
            "{% if add_generation_prompt %}[assistant]{% endif %}",
            "puts '<final>' before an answer",
        ),
        (
            TURN.replace("{{ eos_token }}", "\n")
            + "{% if add_generation_prompt %}[assistant]{% endif %}",
            "ends no answer with a token",
        ),
        (
            TURN.replace("{{ eos_token }}", " Over.{{ eos_token }}")
            + "{% if add_generation_prompt %}[assistant]{% endif %}",
            "ends no answer with a token",
        ),
    ],
)
def test_a_template_that_cannot_be_divided_is_refused(template: str | None, what: str) -> None:
    with pytest.raises(RestemError, match=what) as caught:
        chat_form(SHOTS, with_template(template or ""), "here")
    assert caught.value.where == "here"
    assert "prompt: base" in caught.value.fix


def test_a_template_that_can_be_divided_is_not() -> None:
    tokenizer = with_template(TURN + "{% if add_generation_prompt %}[assistant]{% endif %}")
    form = chat_form(SHOTS[:1], tokenizer, "here")
    assert form == PromptForm(
        "[user]Add 1 and 2.<eos>[assistant]It is 3.<eos>[user]",
        "<eos>[assistant]",
        True,
        "",
        "<eos>",
    )


def test_the_next_turn_may_end_an_answer() -> None:
    turn = "{% for m in messages %}<turn>{{ m.role }}\n{{ m.content }}{% endfor %}"
    last = "{% if add_generation_prompt %}<turn>assistant\n{% endif %}"
    assert chat_form(SHOTS, with_template(turn + last), "here").end == "<turn>"


# ---- where the worked examples come from ----


def test_prompts_are_those_of_the_task_or_the_policys_own(tmp_path: Path) -> None:
    chat_tokenizer("gemma").save_pretrained(tmp_path)
    shots = [Problem("s", "One?", "1", solutions={SHOT: "One."})]
    own = (("Two?", "Two."),)
    chat, base = (Prompts(kind, TASK, shots, tmp_path) for kind in ("chat", "base"))  # type: ignore[arg-type]
    assert "One?" in chat.form().prefix
    assert "Two?" in chat.form(own).prefix
    assert "One?" not in chat.form(own).prefix
    assert "One?" in base.form().prefix
    assert base.form("Two.").prefix == "Two."


def test_the_draws_of_a_turn_are_not_those_of_an_equal_text() -> None:
    request = Request("p", "a", "b", (0,), (0,))
    assert request_digest(request) != request_digest(replace(request, chat=True))
