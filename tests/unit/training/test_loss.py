import copy
import functools
from typing import Any

import pytest
import torch
from transformers import Gemma2Config, Gemma2ForCausalLM
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from restem.config.training import Training
from restem.training import loss
from restem.training.batches import collate
from restem.training.examples import Encoded, Example, encoded
from restem.training.loss import weighted_nll

PREFIX = "ab# cd\nfa #b ccd\n"
EXAMPLES = [
    Example(PREFIX, "fed ", "ab##", 1.0),
    Example(PREFIX, "a", "ccd#\n", 0.5),
    Example(PREFIX, "bbbbb cd", "f##", 2.0),
    Example(PREFIX, "fef", "abababab cdcdcd##", 1.0),
]
NORMALISATIONS = ("token", "example")


def rows(tokenizer: Any, examples: list[Example] = EXAMPLES) -> list[Encoded]:
    return encoded(examples, tokenizer, Training(), None)[0]


def gradients(model: Any, value: torch.Tensor) -> torch.Tensor:
    found = torch.autograd.grad(value, list(model.parameters()), materialize_grads=True)
    return torch.cat([gradient.flatten() for gradient in found])


def difference(found: torch.Tensor, expected: torch.Tensor) -> float:
    return ((found - expected).norm() / expected.norm()).item()


def one_by_one(model: Any, examples: list[Encoded], normalise: str) -> torch.Tensor:
    """Compute the documented formula without batch, padding or sharing."""
    total, mass = torch.zeros((), dtype=torch.float64), 0.0
    for example in examples:
        ids = torch.tensor([example.prompt + example.target])
        scores = model(input_ids=ids, use_cache=False).logits[0].log_softmax(-1)
        places = range(len(example.prompt) - 1, ids.shape[1] - 1)
        nll = -sum(scores[place, ids[0, place + 1]] for place in places)
        count = len(example.target) if normalise == "token" else 1
        total = total + example.weight * nll * count / len(example.target)
        mass += example.weight * count
    return total / mass


def gemma(vocabulary: int) -> Any:
    torch.manual_seed(0)
    config = Gemma2Config(
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        sliding_window=6,
        final_logit_softcapping=0.5,
        attn_implementation="eager",
        initializer_range=0.2,
    )
    return Gemma2ForCausalLM(config)


def normalised(norm: Any, states: torch.Tensor) -> torch.Tensor:
    """Do what LlamaRMSNorm does without its detour through float32."""
    scale = torch.rsqrt(states.pow(2).mean(-1, keepdim=True) + norm.variance_epsilon)
    return norm.weight * states * scale


@pytest.fixture
def exact(llama: Any) -> Any:
    model = copy.deepcopy(llama).double().train()
    for module in model.modules():
        if isinstance(module, LlamaRMSNorm):
            module.forward = functools.partial(normalised, module)
    return model


@pytest.mark.parametrize("normalise", NORMALISATIONS)
def test_batch_equals_the_formula_one_by_one(exact: Any, tokenizer: Any, normalise: Any) -> None:
    batch = collate(rows(tokenizer))
    assert len(batch.prefix) == len(tokenizer(PREFIX).input_ids)
    expected = one_by_one(exact, rows(tokenizer), normalise)
    found = weighted_nll(exact, batch, normalise)
    assert difference(found, expected) < 1e-12
    assert difference(gradients(exact, found), gradients(exact, expected)) < 1e-10


def test_soft_caps_and_sliding_windows_stay(llama: Any, tokenizer: Any) -> None:
    model = gemma(len(tokenizer)).double()
    expected = one_by_one(model, rows(tokenizer), "token")
    found = weighted_nll(model, collate(rows(tokenizer)), "token")
    # Its normalisation and attention compute in float32 whatever the weights are.
    assert difference(found, expected) < 1e-6
    assert difference(gradients(model, found), gradients(model, expected)) < 1e-5


def test_a_detached_prefix_would_be_noticed(
    exact: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = collate(rows(tokenizer))
    expected = gradients(exact, weighted_nll(exact, batch, "token"))
    monkeypatch.setattr(loss, "_prefix_cache", torch.no_grad()(loss._prefix_cache))
    found = gradients(exact, weighted_nll(exact, batch, "token"))
    assert difference(found, expected) > 1e-3


@pytest.mark.parametrize("normalise", NORMALISATIONS)
def test_weight_two_is_the_example_twice(exact: Any, tokenizer: Any, normalise: Any) -> None:
    twice = [Example(PREFIX, "fed ", "ab##", 2.0), EXAMPLES[1]]
    repeated = [EXAMPLES[0], EXAMPLES[0], EXAMPLES[1]]
    losses = [
        weighted_nll(exact, collate(rows(tokenizer, examples)), normalise)
        for examples in (twice, repeated)
    ]
    torch.testing.assert_close(*losses, rtol=1e-12, atol=0)


@pytest.mark.parametrize("normalise", NORMALISATIONS)
def test_weight_zero_is_the_example_left_out(exact: Any, tokenizer: Any, normalise: Any) -> None:
    first, second, third, _ = rows(tokenizer)
    absent = Encoded(third.prompt, third.target, 0.0)
    with_it = gradients(exact, weighted_nll(exact, collate([first, second, absent]), normalise))
    without = gradients(exact, weighted_nll(exact, collate([first, second]), normalise))
    assert difference(with_it, without) < 1e-10


def test_prompts_of_one_token_share_nothing(exact: Any) -> None:
    examples = [Encoded([1], [5, 6], 1.0), Encoded([1], [7], 1.0)]
    batch = collate(examples)
    assert len(batch.prefix) == 0
    expected = one_by_one(exact, examples, "token")
    torch.testing.assert_close(weighted_nll(exact, batch, "token"), expected, rtol=1e-12, atol=0)


def test_only_target_positions_reach_the_projection(llama: Any, tokenizer: Any) -> None:
    seen = []
    handle = llama.get_output_embeddings().register_forward_hook(
        lambda _, inputs, output: seen.append(output.shape[:-1].numel())
    )
    weighted_nll(llama, collate(rows(tokenizer)), "token")
    handle.remove()
    targets = sum(len(row.target) for row in rows(tokenizer))
    assert seen == [1, targets]
