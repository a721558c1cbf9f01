import copy
import functools
import itertools
import random
from typing import Any

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from restem.config.training import Training
from restem.errors import RestemError
from restem.training import loss
from restem.training.examples import Encoded
from restem.training.loss import accumulate
from restem.training.packs import loss_mass, packs
from restem.training.tree import Tree

NORMALISATIONS = ("token", "example")
SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
    "initializer_range": 0.2,
    "vocab_size": 40,
    "pad_token_id": 0,
}
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("Llama", {}),
    "qwen2": ("Qwen2", {}),
    "qwen3": ("Qwen3", {}),
    "smollm3": ("SmolLM3", {}),
    "gemma": ("Gemma", {}),
    "gemma3, windows of 6": ("Gemma3", {"sliding_window": 6}),
    "mistral, windows of 6": ("Mistral", {"sliding_window": 6}),
    "phi3": ("Phi3", {}),
    "olmo2": ("Olmo2", {}),
    "granite, scaled logits": ("Granite", {"logits_scaling": 3.0}),
}


def random_model(family: str, **extra: Any) -> Any:
    """Return a random model in fp64 whose norms do not take their detour through fp32."""
    name, own = FAMILIES[family]
    torch.manual_seed(0)
    config = "Gemma3TextConfig" if name == "Gemma3" else f"{name}Config"
    settings_of = getattr(transformers, config)(**{**SIZES, **own, **extra})
    model = getattr(transformers, f"{name}ForCausalLM")(settings_of).double().train()
    for module in model.modules():
        if type(module).__name__.endswith("RMSNorm"):
            module.forward = functools.partial(normalised, module)
    return model


def normalised(norm: Any, states: torch.Tensor) -> torch.Tensor:
    gemma = type(norm).__name__.startswith("Gemma")
    epsilon = norm.eps if gemma else norm.variance_epsilon
    scale = torch.rsqrt(states.pow(2).mean(-1, keepdim=True) + epsilon)
    return (1 + norm.weight if gemma else norm.weight) * states * scale


def random_examples(seed: int, solutions: tuple[int, ...] = (1, 3, 4, 2)) -> list[Encoded]:
    """Make questions with several solutions each, below one few-shot prompt, shuffled."""
    rng = random.Random(seed)

    def tokens(low: int, high: int) -> list[int]:
        return [rng.randrange(4, 40) for _ in range(rng.randrange(low, high))]

    prefix, examples = tokens(5, 15), []
    for count in solutions:
        question = prefix + tokens(1, 7)
        examples += [
            Encoded(question, tokens(1, 9), rng.choice([0.5, 1.0, 2.0])) for _ in range(count)
        ]
    rng.shuffle(examples)
    return examples


EXAMPLES = random_examples(0)


def step(
    model: Any,
    examples: list[Encoded] = EXAMPLES,
    layout: str = "tree",
    limit: int = 10_000,
    normalise: str = "token",
) -> tuple[float, torch.Tensor]:
    """Return a step's loss and its whole gradient."""
    model.zero_grad()
    chosen = Training(layout=layout, pass_tokens=limit, normalise=normalise)
    value = accumulate(model, packs(examples, chosen, loss_mass(examples, chosen.normalise)))
    parameters = list(model.parameters())
    zero = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    return value, torch.cat([gradient.flatten() for gradient in zero])


def one_by_one(model: Any, examples: list[Encoded], normalise: str) -> tuple[float, torch.Tensor]:
    """Compute the documented formula without batch, padding or sharing."""
    model.zero_grad()
    total, mass = torch.zeros((), dtype=torch.float64), 0.0
    for example in examples:
        ids = torch.tensor([example.prompt + example.target])
        scores = model(input_ids=ids, use_cache=False).logits[0].log_softmax(-1)
        places = range(len(example.prompt) - 1, ids.shape[1] - 1)
        nll = -sum(scores[place, ids[0, place + 1]] for place in places)
        count = len(example.target) if normalise == "token" else 1
        total = total + example.weight * nll * count / len(example.target)
        mass += example.weight * count
    (total / mass).backward()
    gradient = torch.cat([p.grad.flatten() for p in model.parameters()])
    return (total / mass).item(), gradient


def assert_equal(
    result: tuple[float, torch.Tensor], expected: tuple[float, torch.Tensor], within: float = 1e-10
) -> None:
    assert result[0] == pytest.approx(expected[0], rel=within)
    assert ((result[1] - expected[1]).norm() / expected[1].norm()).item() < within


@pytest.fixture(scope="module")
def exact() -> Any:
    return random_model("llama")


@pytest.mark.parametrize("family", FAMILIES)
def test_every_layout_equals_the_formula_one_by_one(family: str) -> None:
    model = random_model(family)
    expected = one_by_one(model, EXAMPLES, "token")
    for layout, limit in itertools.product(("tree", "packed", "padded"), (10_000, 40, 1)):
        assert_equal(step(model, layout=layout, limit=limit), expected)


@pytest.mark.parametrize("limit", [10_000, 30])
def test_soft_caps_stay(limit: int) -> None:
    torch.manual_seed(0)
    own = {"sliding_window": 6, "final_logit_softcapping": 2.0, "attn_logit_softcapping": 3.0}
    config = transformers.Gemma2Config(**{**SIZES, **own}, attn_implementation="eager")
    model = transformers.Gemma2ForCausalLM(config).double().train()
    # Its normalisation and eager attention compute in float32 whatever the weights are.
    assert_equal(step(model, limit=limit), one_by_one(model, EXAMPLES, "token"), 1e-5)


def test_single_precision_losses_agree(llama: Any) -> None:
    model = copy.deepcopy(llama).train()
    rows = [Encoded([t % 16 for t in e.prompt], [t % 16 for t in e.target], 1.0) for e in EXAMPLES]
    result = [step(model, rows, layout) for layout in ("tree", "packed", "padded")]
    for other in result[1:]:
        assert_equal(result[0], other, 1e-5)


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_plain_attention_is_the_fused_one(
    implementation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU takes the plain path; it is the same arithmetic on any device."""
    model = random_model("gemma3, windows of 6", attn_implementation=implementation)
    fused = step(model, limit=30)
    monkeypatch.setattr("restem.training.kernels._can_fuse", lambda *_: False)
    assert_equal(step(model, limit=30), fused)
    assert_equal(step(model), fused)


def test_checkpointed_layers_give_the_same_bits(exact: Any) -> None:
    model = copy.deepcopy(exact)
    plain = [step(model, limit=limit) for limit in (10_000, 30)]
    model.gradient_checkpointing_enable({"use_reentrant": False})
    for result, limit in zip(plain, (10_000, 30), strict=True):
        again = step(model, limit=limit)
        assert again[0] == result[0]
        assert torch.equal(again[1], result[1])


def test_half_precision_computes_near_it(exact: Any) -> None:
    model = copy.deepcopy(random_model("qwen3")).float()
    for module in model.modules():
        module.__dict__.pop("forward", None)
    full = step(model)
    with torch.autocast("cpu", torch.bfloat16):
        half = step(model, limit=30)
    assert half[1].dtype == torch.float32
    assert half[0] == pytest.approx(full[0], rel=0.02)
    assert ((half[1] - full[1]).norm() / full[1].norm()).item() < 0.1


def test_a_detached_prefix_would_be_noticed(exact: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = step(exact, limit=30)
    monkeypatch.setattr(loss, "_backward_prefix", lambda *_: None)
    result = step(exact, limit=30)
    assert ((result[1] - expected[1]).norm() / expected[1].norm()).item() > 1e-3


def test_siblings_do_not_see_each_other(exact: Any) -> None:
    prompt = [4, 5, 6]
    twins = [Encoded([*prompt, 7], [8, 9, 10, 11], 1.0), Encoded([*prompt, 7], [12, 13, 14], 0.0)]
    changed = [twins[0], Encoded([*prompt, 7], [20, 21, 22, 23, 24], 0.0)]
    cousin = [twins[0], Encoded([*prompt, 30, 31], [20, 21], 0.0)]
    alone = step(exact, twins[:1])
    for family in (twins, twins[::-1], changed, cousin, cousin[::-1]):
        assert_equal(step(exact, family), alone, 1e-12)


def test_a_prefix_runs_once_however_many_passes_share_it(exact: Any) -> None:
    chosen = Training(pass_tokens=12)
    step_packs = packs(EXAMPLES, chosen, 1.0)
    assert len(step_packs) == 1
    assert len(step_packs[0].passes) > 2
    lengths = []
    handle = exact.register_forward_pre_hook(
        lambda _, args, named: lengths.append(named["input_ids"].shape[1]), with_kwargs=True
    )
    accumulate(exact, step_packs)
    handle.remove()
    assert lengths == [
        len(step_packs[0].prefix),
        *(one_pass.ids.shape[1] for one_pass in step_packs[0].passes),
    ]


@pytest.mark.parametrize("normalise", NORMALISATIONS)
def test_normalisation_is_the_documented_one(exact: Any, normalise: str) -> None:
    expected = one_by_one(exact, EXAMPLES, normalise)
    for limit in (10_000, 30):
        assert_equal(step(exact, limit=limit, normalise=normalise), expected)


@given(
    seed=st.integers(0, 10_000),
    solutions=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    limit=st.integers(1, 80),
    layout=st.sampled_from(["tree", "packed", "padded"]),
    normalise=st.sampled_from(NORMALISATIONS),
)
@settings(max_examples=12, deadline=None, derandomize=True)
def test_weights_and_order_mean_what_they_say(
    exact: Any, seed: int, solutions: list[int], limit: int, layout: str, normalise: str
) -> None:
    examples = random_examples(seed, tuple(solutions))
    chosen = {"layout": layout, "limit": limit, "normalise": normalise}
    result = step(exact, examples, **chosen)
    order = random.Random(seed).sample(examples, len(examples))
    assert_equal(step(exact, order, normalise=normalise), result)
    first = examples[0]
    absent = Encoded(first.prompt, [4, 5], 0.0)
    assert_equal(step(exact, [absent, *examples], **chosen), result)
    twice = Encoded(first.prompt, first.target, 2 * first.weight)
    assert_equal(
        step(exact, [twice, *examples[1:]], **chosen), step(exact, [first, *examples], **chosen)
    )


def test_prompts_of_one_token_share_nothing(exact: Any) -> None:
    examples = [Encoded([1], [5, 6], 1.0), Encoded([1], [7], 1.0), Encoded([2], [7], 1.0)]
    assert_equal(step(exact, examples), one_by_one(exact, examples, "token"))
    assert_equal(step(exact, examples[1:2]), one_by_one(exact, examples[1:2], "token"))


def test_families_are_laid_out_apart(exact: Any) -> None:
    here = [Encoded([4, 5, 6, 7], [8], 1.0, "a"), Encoded([4, 5, 6, 8], [9], 1.0, "a")]
    there = [Encoded([9, 9, 9, 7], [8], 1.0, "b"), Encoded([9, 9, 9, 8], [9, 9], 1.0, "b")]
    mixed = [here[0], there[0], here[1], there[1]]
    step_packs = packs(mixed, Training(), 1.0)
    assert [pack.passes[0].prefix for pack in step_packs] == [3, 3]
    assert_equal(step(exact, mixed), one_by_one(exact, mixed, "token"))


def test_only_target_places_reach_the_projection(exact: Any) -> None:
    seen = []
    handle = exact.get_output_embeddings().register_forward_hook(
        lambda _, inputs, output: seen.append(output.shape[:-1].numel())
    )
    step(exact)
    handle.remove()
    assert seen == [sum(len(row.target) for row in EXAMPLES)]


def test_attention_that_trees_do_not_know_is_refused(
    exact: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropping = random_model("llama", attention_dropout=0.1)
    with pytest.raises(RestemError, match="not plain causal attention") as caught:
        step(dropping)
    assert "padded" in caught.value.fix
    biased = transformers.BloomConfig(vocab_size=40, hidden_size=16, n_layer=1, n_head=2)
    with pytest.raises(RestemError, match="not plain causal attention"):
        step(transformers.BloomForCausalLM(biased).train())
    monkeypatch.setattr(Tree, "read_by", property(lambda _: set(), lambda *_: None), raising=False)
    with pytest.raises(RestemError, match="not plain causal attention"):
        step(exact)


def test_the_models_own_attention_comes_back(exact: Any) -> None:
    before = exact.config._attn_implementation
    step(exact, limit=30)
    assert exact.config._attn_implementation == before

    def end() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        accumulate(exact, packs(EXAMPLES, Training(), 1.0), end)
    assert exact.config._attn_implementation == before
