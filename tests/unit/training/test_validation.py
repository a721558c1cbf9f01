"""The validation reward is the one that selection has: graded, or noisy."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import torch

from restem.config.decoding import Decoding
from restem.config.models import EngineSettings
from restem.config.training import Training
from restem.policies.flops import Forward
from restem.rewards.verifier import Verdict
from restem.sampling.engine import Completion, Request
from restem.sampling.prompts import PromptForm
from restem.sampling.transformers.engine import load
from restem.tasks.problem import Problem
from restem.training.examples import Example
from restem.training.loop import fine_tune
from restem.training.m_steps.fine_tune import ModelReward
from restem.training.validation import Validation

DRAWS = 20
PROBLEMS = [Problem(f"p{k}", "?", "1") for k in range(40)]


class Engine:
    def sample(self, requests: Sequence[Any], *_: Any) -> list[list[Completion]]:
        return [
            [
                Completion(r.problem_id, draw, 0, f"{r.problem_id} {draw}", 3, 5, "stop", "#", 0.0)
                for draw in r.draws
            ]
            for r in requests
        ]


class Grader:
    """Accept the completions of every fourth problem; the others pass a tenth of their tests."""

    def verdicts(self, attempts: Sequence[Any]) -> list[Verdict]:
        return [
            Verdict("correct", "1", "test", passed=1.0)
            if int(a.completion.split()[0][1:]) % 4 == 0
            else Verdict("incorrect", "2", "test", passed=0.1)
            for a in attempts
        ]


def reward(**settings: Any) -> float:
    decoding = Decoding(draws=DRAWS, temperature=0.7, max_tokens=8)
    forward = Forward()
    grader: Any = Grader()
    engine: Any = Engine()
    validation = Validation("chain", PROBLEMS, decoding, 0, grader, forward, **settings)
    value = validation.reward(engine, PromptForm(""))
    assert validation.reward(engine, PromptForm("")) == value
    return value


def test_it_is_the_share_of_accepted_completions() -> None:
    assert reward() == 0.25


def test_it_is_graded_where_selection_is() -> None:
    assert reward(graded=True) == pytest.approx(0.25 + 0.75 * 0.1)


def test_it_asks_in_the_form_of_the_policys_prompts() -> None:
    seen: list[Any] = []

    class Noting(Engine):
        def sample(self, requests: Sequence[Any], *rest: Any) -> list[list[Completion]]:
            seen.append((requests, rest[-1]))
            return super().sample(requests, *rest)

    decoding, grader = Decoding(draws=1, temperature=0, max_tokens=8), Grader()
    validation = Validation("chain", PROBLEMS[:1], decoding, 0, cast(Any, grader), Forward())
    validation.reward(cast(Any, Noting()), PromptForm("[user]", "[model]", chat=True, end="[end]"))
    [([request], stops)] = seen
    assert request.prefix + request.prompt == "[user]Problem: ?\nSolution:[model]"
    assert request.chat
    assert stops == ("[end]",)


@pytest.mark.parametrize("flip", [0.1, 0.3, 0.5])
def test_a_share_of_its_verdicts_is_inverted_where_selection_inverts_them(flip: float) -> None:
    expected = 0.25 * (1 - flip) + 0.75 * flip
    assert reward(flip=flip) == pytest.approx(expected, abs=0.05)
    assert reward(flip=1.0) == 0.75


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_it_samples_as_the_engine_will_from_the_policy(
    base: Path, tmp_path: Path, dtype: Any
) -> None:
    drawn: list[list[tuple[str, float]]] = []
    seen: list[torch.dtype] = []
    decoding = Decoding(draws=4, temperature=1.0, max_tokens=12)
    requests = [Request(p, "cd# ", p, tuple(range(4)), tuple(range(4))) for p in ("ab", "e", "cd")]

    class Sampled:
        flops = 0.0

        def reward(self, engine: Any, form: PromptForm) -> float:
            groups = engine.sample(requests, decoding, ("\n",))
            drawn.append(
                sorted((c.problem_id, c.draw, c.text, c.logprob) for g in groups for c in g)
            )
            return 0.0

    class Seen(ModelReward):
        def __call__(self, model: Any, tokenizer: Any) -> float:
            reward = super().__call__(model, tokenizer)
            seen.extend({weight.dtype for weight in model.parameters()})
            assert all(w.grad is None for w in model.parameters())  # room for the other weights
            return reward

    settings = Training(learning_rate=1e-2, stop="epochs", epochs_max=2, validations=1)
    examples = [Example("cd# ", a + b, f"{b}{a}##", 1.0) for a in "abc" for b in "abc"]
    validate = Seen(cast(Any, Sampled()), PromptForm(""), 16, getattr(torch, dtype))
    fine_tune(base, examples, settings, 0, 1, validate, tmp_path / "out", lambda _: None)
    assert seen == [torch.float32] * 2  # the weights in training stay what they are
    Sampled().reward(load(tmp_path / "out", EngineSettings(dtype=dtype), 1), PromptForm(""))
    before, after, of_policy = drawn
    assert before != after
    assert after == of_policy
