import copy
import functools
import random
from typing import Any

import pytest
import torch
from tokenizers import processors
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    MistralConfig,
    MistralForCausalLM,
    Olmo2Config,
    Olmo2ForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from restem.config.decoding import Decoding
from restem.config.models import EngineSettings
from restem.errors import RestemError
from restem.sampling.engine import Completion, PromptTooLong, Request, draw_seed
from restem.sampling.transformers.engine import TransformersEngine, load

PREFIX = "ab# cd\nfa #b ccd\n"
PROMPTS = ["a", "fed cab#", "bb", "ddd fa", "c#c#c# de", "ab ab ab ab ab", "f"]
GREEDY = Decoding(draws=1, temperature=0, max_tokens=80)
RANDOM = Decoding(draws=4, temperature=0.9, top_k=20, top_p=0.95, max_tokens=40)


def requests(draws: int = 1, prefix: str = PREFIX, prompts: list[str] = PROMPTS) -> list[Request]:
    return [
        Request(
            text,
            prefix,
            text,
            tuple(range(draws)),
            tuple(draw_seed("p", "s", "d", text, draw, 0) for draw in range(draws)),
        )
        for text in prompts
    ]


def drawn(
    engine: TransformersEngine,
    asked: list[Request],
    decoding: Decoding = RANDOM,
    stop: tuple[str, ...] = (),
) -> dict[tuple[str, int], Completion]:
    completions = [c for group in engine.sample(asked, decoding, stop) for c in group]
    by_address = {(c.problem_id, c.draw): c for c in completions}
    assert len(by_address) == len(completions)
    return by_address


@functools.cache
def generated(model: Any, tokenizer: Any, text: str) -> list[int]:
    ids = tokenizer(text, return_tensors="pt").input_ids
    out = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=GREEDY.max_tokens,
    )
    return out[0, ids.shape[1] :].tolist()


def assert_greedy_equals_generate(model: Any, tokenizer: Any, rows: int) -> None:
    completions = drawn(TransformersEngine(model, tokenizer, rows), requests(), GREEDY)
    assert len(completions) == len(PROMPTS)
    for prompt in PROMPTS:
        expected = generated(model, tokenizer, PREFIX + prompt)
        completion = completions[prompt, 0]
        assert completion.text == tokenizer.decode(expected, skip_special_tokens=True)
        assert completion.tokens == len(expected)
        assert completion.prompt_tokens == len(tokenizer(PREFIX + prompt).input_ids)
        assert completion.finish_reason == ("stop" if expected[-1] == 2 else "length")


@pytest.mark.parametrize("rows", [1, 3, 100])
def test_greedy_is_generate_token_for_token(model: Any, tokenizer: Any, rows: int) -> None:
    assert_greedy_equals_generate(model, tokenizer, rows)


SMALL = {"vocab_size": 38, "eos_token_id": 2, "pad_token_id": 0, "bos_token_id": 1}
WINDOW = 130  # longer than any prompt with its completion
DECODER = {
    **SMALL,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 160,
    "initializer_range": 0.3,
}


def qwen() -> Any:
    return Qwen2ForCausalLM(Qwen2Config(**DECODER))


def olmo() -> Any:
    return Olmo2ForCausalLM(Olmo2Config(**DECODER))


def sliding() -> Any:
    return MistralForCausalLM(MistralConfig(**DECODER, head_dim=8, sliding_window=7))


def wide() -> Any:
    return MistralForCausalLM(MistralConfig(**DECODER, head_dim=8, sliding_window=WINDOW))


def gemma() -> Any:
    kinds = ["sliding_attention", "full_attention"]
    more = {"head_dim": 8, "sliding_window": WINDOW, "layer_types": kinds}
    return Gemma3ForCausalLM(Gemma3TextConfig(**DECODER, **more))


def gpt2() -> Any:
    return GPT2LMHeadModel(
        GPT2Config(**SMALL, n_embd=32, n_layer=2, n_head=4, n_positions=160, initializer_range=0.3)
    )


@pytest.mark.parametrize(
    ("build", "shares"),
    [(qwen, True), (olmo, True), (sliding, False), (wide, True), (gemma, True), (gpt2, True)],
)
def test_other_architectures_equal_generate(
    tokenizer: Any, one_thread: Any, build: Any, shares: bool
) -> None:
    torch.manual_seed(1)
    model = build().eval()
    engine = TransformersEngine(model, tokenizer)
    drawn(engine, requests(), GREEDY)
    assert (engine.usage().cached_tokens > 0) == shares
    assert_greedy_equals_generate(model, tokenizer, 100)


def test_a_prefix_is_shared_while_every_row_fits_in_the_window(
    tokenizer: Any, one_thread: Any
) -> None:
    engine = TransformersEngine(wide().eval(), tokenizer)
    longest = max(len(tokenizer(PREFIX + prompt).input_ids) for prompt in PROMPTS)
    for room, shares in ((WINDOW - longest + 1, False), (WINDOW - longest, True)):
        before = engine.usage().cached_tokens
        drawn(engine, requests(), GREEDY.model_copy(update={"max_tokens": room}))
        assert (engine.usage().cached_tokens > before) == shares


def test_model_keeps_its_own_attention(model: Any, tokenizer: Any) -> None:
    before = model.config._attn_implementation
    drawn(TransformersEngine(model, tokenizer), requests(), GREEDY)
    assert model.config._attn_implementation == before


def test_the_output_layer_reads_contiguous_states(model: Any, tokenizer: Any) -> None:
    """Torch multiplies a slice of states 200 times more slowly if no weight needs a gradient."""
    seen: list[bool] = []
    frozen = copy.deepcopy(model).requires_grad_(False)
    frozen.get_output_embeddings().register_forward_hook(
        lambda layer, inputs, output: seen.append(inputs[0].is_contiguous())
    )
    drawn(TransformersEngine(frozen, tokenizer), requests(2))
    assert seen
    assert all(seen[1:])  # the first is of the prefix, one row


def test_same_request_gives_same_bytes(model: Any, tokenizer: Any) -> None:
    first = drawn(TransformersEngine(model, tokenizer, 9), requests(4))
    second = drawn(TransformersEngine(model, tokenizer, 9), requests(4))
    assert repr(first) == repr(second)


def test_a_draw_does_not_depend_on_other_draws(model: Any, tokenizer: Any) -> None:
    together = drawn(TransformersEngine(model, tokenizer, 100), requests(4))
    shuffled = random.Random(0).sample(requests(4), len(PROMPTS))
    in_small_batches = drawn(TransformersEngine(model, tokenizer, 3), shuffled)
    alone = {}
    for request in requests(2):
        alone |= drawn(TransformersEngine(model, tokenizer), [request])
    assert len({c.text for c in together.values()}) > 20
    for others in (in_small_batches, alone):
        for address, completion in others.items():
            assert completion.text == together[address].text
            assert completion.tokens == together[address].tokens
            assert completion.logprob == pytest.approx(together[address].logprob, abs=1e-4)


def test_only_requested_draws_come(model: Any, tokenizer: Any) -> None:
    everything = drawn(TransformersEngine(model, tokenizer), requests(5))
    whole = requests(5)[1]
    some = Request(whole.problem_id, PREFIX, whole.prompt, whole.draws[3:], whole.seeds[3:])
    completions = drawn(TransformersEngine(model, tokenizer), [some])
    assert {draw for _, draw in completions} == {3, 4}
    assert all(everything[address].text == c.text for address, c in completions.items())


@pytest.mark.parametrize("prefix", ["", PREFIX])
def test_under_autocast_it_draws_the_same_up_to_rounding(
    model: Any, tokenizer: Any, prefix: str
) -> None:
    """As validations of a training in bfloat16 do on a GPU."""
    short = RANDOM.model_copy(update={"max_tokens": 4})
    engine = TransformersEngine(model, tokenizer, rows=5)
    full = drawn(engine, requests(4, prefix), short)
    with torch.autocast("cpu", torch.bfloat16):
        half = drawn(engine, requests(4, prefix), short)
    equal = [draw for draw in full if full[draw].text == half[draw].text]
    assert len(equal) > 0.8 * len(full)
    assert any(half[draw].logprob != full[draw].logprob for draw in equal)
    for draw in equal:
        assert half[draw].logprob == pytest.approx(full[draw].logprob, abs=0.5)


def test_prefixes_may_differ(model: Any, tokenizer: Any) -> None:
    others = [
        Request("other " + r.problem_id, "ff", r.prompt, r.draws, r.seeds) for r in requests(4)
    ]
    mixed = drawn(TransformersEngine(model, tokenizer), [*requests(4), *others])
    apart = drawn(TransformersEngine(model, tokenizer), requests(4))
    assert {k: v.text for k, v in mixed.items() if k in apart} == {
        k: v.text for k, v in apart.items()
    }
    assert len(mixed) == 2 * len(apart)


def test_logprob_is_the_models_own(model: Any, tokenizer: Any) -> None:
    # Top-k 1 draws what greedy takes; its probability is then 1 after temperature and filter.
    sharp = Decoding(draws=1, temperature=0.5, top_k=1, max_tokens=40)
    completions = drawn(TransformersEngine(model, tokenizer), requests(), sharp)
    for prompt in PROMPTS:
        start = tokenizer(PREFIX + prompt).input_ids
        tail = generated(model, tokenizer, PREFIX + prompt)[: sharp.max_tokens]
        with torch.no_grad():
            scores = model(torch.tensor([start + tail])).logits[0, len(start) - 1 : -1]
        expected = scores.log_softmax(-1)[torch.arange(len(tail)), tail].sum().item()
        assert completions[prompt, 0].logprob == pytest.approx(expected, abs=1e-3)
        assert expected < -1


def test_stop_strings_are_found_across_tokens(model: Any, tokenizer: Any) -> None:
    spanning = 0
    engine = TransformersEngine(model, tokenizer)
    for prompt in PROMPTS[:3]:
        ids = generated(model, tokenizer, PREFIX + prompt)[:60]
        texts = [tokenizer.decode(ids[:k], skip_special_tokens=True) for k in range(len(ids) + 1)]
        for place in range(0, len(texts[-1]) - 3, 11):
            stop = texts[-1][place : place + 3]
            count = next(k for k, text in enumerate(texts) if stop in text)
            spanning += len(texts[count]) - len(texts[count - 1]) < 3
            asked = requests(prompts=[prompt])
            completion = drawn(engine, asked, GREEDY, (stop,))[prompt, 0]
            assert (completion.text, completion.tokens) == (
                texts[-1][: texts[-1].index(stop)],
                count,
            )
            assert completion.finish_reason == "stop"
    assert spanning > 5


def test_stop_strings_end_where_they_first_appear(model: Any, tokenizer: Any) -> None:
    free = drawn(TransformersEngine(model, tokenizer), requests(4))
    tried = 0
    for stop in ("##", "b#", " a", "ca b", "\n", "d"):
        completions = drawn(
            TransformersEngine(model, tokenizer), requests(4), RANDOM, (stop, "ccccc#")
        )
        for address, completion in completions.items():
            whole = free[address].text
            if stop in whole:
                tried += 1
                assert completion.text == whole[: whole.index(stop)]
                assert completion.finish_reason == "stop"
                assert completion.tokens <= free[address].tokens
            else:
                assert completion.text == whole
                assert completion.finish_reason == free[address].finish_reason
    assert tried > 30


def test_end_of_text_ends(model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    free = drawn(TransformersEngine(model, tokenizer), requests(4))
    end = tokenizer.convert_tokens_to_ids("d")
    monkeypatch.setattr(model.generation_config, "eos_token_id", [2, end])
    completions = drawn(TransformersEngine(model, tokenizer), requests(4))
    ended = [address for address, c in free.items() if "d" in c.text]
    assert ended
    for address in ended:
        assert completions[address].text == free[address].text.split("d")[0]
        assert completions[address].finish_reason == "stop"


def test_special_token_is_a_stop_string(
    model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model.generation_config, "eos_token_id", [2, 3])
    by_id = drawn(TransformersEngine(model, tokenizer), requests(4))
    monkeypatch.setattr(model.generation_config, "eos_token_id", 2)
    by_string = drawn(TransformersEngine(model, tokenizer), requests(4), RANDOM, ("<unk>",))
    assert by_id == by_string != drawn(TransformersEngine(model, tokenizer), requests(4))


def test_length_is_bounded_by_max_tokens_and_context(model: Any, tokenizer: Any) -> None:
    short = Decoding(draws=1, temperature=0, max_tokens=3)
    completions = drawn(TransformersEngine(model, tokenizer), requests(), short)
    assert {c.tokens for c in completions.values() if c.finish_reason == "length"} == {3}
    long = Request("long", "", "f" * 150, (0,), (7,))
    completion = drawn(TransformersEngine(model, tokenizer), [long], GREEDY)["long", 0]
    assert completion.prompt_tokens + completion.tokens <= 160
    assert completion.finish_reason == "stop" or completion.prompt_tokens + completion.tokens == 160


def test_too_long_prompts_are_named_before_anything_is_drawn(model: Any, tokenizer: Any) -> None:
    asked = [*requests(), Request("big", "", "f" * 159, (0,), (7,))]
    engine = TransformersEngine(model, tokenizer)
    with pytest.raises(PromptTooLong, match="big") as caught:
        engine.sample(asked, GREEDY, ())
    assert caught.value.problem_ids == ("big",)
    assert "160 tokens" in caught.value.what


def test_empty_prompt_is_refused(model: Any, tokenizer: Any) -> None:
    bare = copy.deepcopy(tokenizer)
    bare.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="$A", special_tokens=[]
    )
    engine = TransformersEngine(model, bare)
    with pytest.raises(RestemError, match="nothing to continue"):
        engine.sample(requests(prefix="", prompts=[""]), GREEDY, ())


def test_nothing_asked_gives_nothing(model: Any, tokenizer: Any) -> None:
    assert list(TransformersEngine(model, tokenizer).sample([], GREEDY, ())) == []


def test_groups_come_as_rows_finish(model: Any, tokenizer: Any) -> None:
    groups = list(TransformersEngine(model, tokenizer, 100).sample(requests(4), RANDOM, ("#",)))
    assert len(groups) > 1
    assert sum(map(len, groups)) == 4 * len(PROMPTS)


def test_load_reads_a_checkpoint(model: Any, tokenizer: Any, tmp_path: Any) -> None:
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded = load(tmp_path, EngineSettings(rows=7, device="cpu"), threads=1)
    assert drawn(loaded, requests(2)) == drawn(
        TransformersEngine(model, tokenizer, rows=7), requests(2)
    )
    assert loaded.name == "transformers"
    assert torch.__version__ in loaded.version


@pytest.mark.parametrize(
    ("stop", "reason"),
    [(("#", ""), "is empty"), (("@", "ab@"), "'@', 'ab@' are unknown to the model's tokenizer")],
)
def test_stop_strings_that_cannot_work_are_refused(
    model: Any, tokenizer: Any, stop: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(RestemError, match=reason):
        TransformersEngine(model, tokenizer).sample(requests(), GREEDY, stop)


def test_a_stop_string_of_other_models_changes_nothing(model: Any, tokenizer: Any) -> None:
    engine = TransformersEngine(model, tokenizer)
    assert drawn(engine, requests(4), RANDOM, ("#", "ab@")) == drawn(
        engine, requests(4), RANDOM, ("#",)
    )


def test_what_ended_a_completion_is_named(model: Any, tokenizer: Any) -> None:
    completions = drawn(TransformersEngine(model, tokenizer), requests(4), RANDOM, ("#", "b"))
    reasons = {(c.finish_reason, c.stop_reason) for c in completions.values()}
    assert reasons >= {("stop", "#"), ("stop", "b")}
    assert reasons <= {("stop", "#"), ("stop", "b"), ("stop", "<eos>"), ("length", None)}


def test_usage_counts_what_was_not_computed_again(model: Any, tokenizer: Any) -> None:
    engine = TransformersEngine(model, tokenizer)
    completions = drawn(engine, requests(4))
    usage, prefix = engine.usage(), len(tokenizer(PREFIX).input_ids)
    assert usage.prompt_tokens == sum(c.prompt_tokens for c in completions.values())
    computed = usage.prompt_tokens - usage.cached_tokens
    once = sum(c.prompt_tokens for (_, draw), c in completions.items() if draw == 0)
    assert prefix < computed < once
    assert usage.peak_memory_bytes > 10**7


def test_a_study_can_shorten_the_context(model: Any, tokenizer: Any) -> None:
    completions = drawn(TransformersEngine(model, tokenizer, context=60), requests(), GREEDY)
    longest = max(c.prompt_tokens + c.tokens for c in completions.values())
    assert longest <= 60


@pytest.mark.parametrize("rows", [5, 8, 16])
def test_a_slot_that_is_taken_over_draws_as_a_new_one(
    model: Any, tokenizer: Any, rows: int
) -> None:
    """Stops make rows end at all times, so that slots, columns and texts are reused."""
    asked, stop = requests(6, prompts=[*PROMPTS, "ba", "fef", "de ab"]), ("##", "b#", "c", "e d")
    alone = {}
    for request in asked:
        alone |= drawn(TransformersEngine(model, tokenizer), [request], RANDOM, stop)
    completions = drawn(TransformersEngine(model, tokenizer, rows), asked, RANDOM, stop)
    assert len({c.tokens for c in completions.values()}) > 8
    for address, completion in completions.items():
        expected = alone[address]
        assert (completion.text, completion.tokens, completion.stop_reason) == (
            expected.text,
            expected.tokens,
            expected.stop_reason,
        )
        assert completion.logprob == pytest.approx(expected.logprob, abs=1e-4)


def out_of_memory_above(model: Any, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    forward = model.forward

    def limited(*arguments: Any, **named: Any) -> Any:
        if len(named["input_ids"]) > rows:
            raise torch.OutOfMemoryError("out of memory: tried to allocate 2.00 GiB")
        return forward(*arguments, **named)

    monkeypatch.setattr(model, "forward", limited)


def test_out_of_memory_halves_the_rows_and_goes_on(
    model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = drawn(TransformersEngine(model, tokenizer), requests(4))
    out_of_memory_above(model, monkeypatch, 5)
    completions = drawn(TransformersEngine(model, tokenizer, 16), requests(4))
    assert {a: c.text for a, c in completions.items()} == {a: o.text for a, o in expected.items()}


def test_out_of_memory_with_one_row_names_the_problem(
    model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = TransformersEngine(model, tokenizer, 16)
    out_of_memory_above(model, monkeypatch, 0)
    with pytest.raises(RestemError, match="not enough memory") as caught:
        drawn(engine, requests(1, prompts=["fed cab#"]))
    assert "fed cab#" in caught.value.where


def test_other_errors_are_not_taken_for_memory(
    model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(**_: Any) -> Any:
        raise RuntimeError("shapes do not match")

    engine = TransformersEngine(model, tokenizer)
    monkeypatch.setattr(model, "forward", broken)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        drawn(engine, requests(1))


# ---- numbers that are none ----


def broken(model: Any, edit: Any) -> Any:
    changed = copy.deepcopy(model)
    with torch.no_grad():
        edit(changed)
    return changed


BREAKS = {
    "a weight": lambda m: m.model.layers[0].mlp.up_proj.weight[3, 3].fill_(torch.nan),
    "the norm": lambda m: m.model.norm.weight.fill_(torch.nan),
    "an infinite output": lambda m: m.lm_head.weight[5].fill_(torch.inf),
    "one token's output": lambda m: m.lm_head.weight[7].fill_(torch.nan),
    "all outputs": lambda m: m.lm_head.weight.fill_(-torch.inf),
    "overflow": lambda m: m.lm_head.weight.mul_(1e38).mul_(10),
}


@pytest.mark.parametrize(
    "decoding", [GREEDY, RANDOM, Decoding(draws=2, temperature=1, max_tokens=5)]
)
@pytest.mark.parametrize("what", BREAKS)
def test_probabilities_that_are_no_numbers_are_refused(
    model: Any, tokenizer: Any, decoding: Decoding, what: str
) -> None:
    changed = broken(model, BREAKS[what])
    changed.config.name_or_path = "results/policy/checkpoint"
    engine = TransformersEngine(changed, tokenizer)
    with pytest.raises(RestemError, match="not finite numbers") as caught:
        drawn(engine, requests(decoding.draws), decoding)
    assert caught.value.where.startswith("results/policy/checkpoint, at problem ")
    assert any(f"{prompt} (draw 0)" in caught.value.where for prompt in PROMPTS)


def test_only_the_problems_whose_numbers_are_none_are_named(model: Any, tokenizer: Any) -> None:
    rare = tokenizer("e", add_special_tokens=False).input_ids[0]

    def edit(changed: Any) -> None:
        changed.model.embed_tokens.weight[rare] = torch.nan

    engine = TransformersEngine(broken(model, edit), tokenizer)
    decoding = Decoding(draws=1, temperature=0, max_tokens=1)
    with pytest.raises(RestemError, match="not finite") as caught:
        drawn(engine, requests(prompts=["ab", "fe", "ddd"], prefix="ab# "), decoding)
    assert "problem fe (draw 0)" in caught.value.where
    assert "ddd" not in caught.value.where
    assert drawn(engine, requests(prompts=["ab", "ddd"], prefix="ab# "), decoding)


def test_rows_that_have_ended_may_run_on_to_anything(model: Any, tokenizer: Any) -> None:
    """What a slot computes after its completion has ended is no part of any completion."""
    end = tokenizer.eos_token_id

    def edit(changed: Any) -> None:
        changed.model.embed_tokens.weight[end] = torch.nan

    decoding = Decoding(draws=8, temperature=1.5, max_tokens=60)
    expected = drawn(TransformersEngine(model, tokenizer), requests(8), decoding)
    assert {c.finish_reason for c in expected.values()} == {"stop", "length"}
    assert (
        drawn(TransformersEngine(broken(model, edit), tokenizer), requests(8), decoding) == expected
    )
