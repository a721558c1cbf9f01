"""The validation reward is the one that selection has: graded, or noisy."""

from collections.abc import Sequence
from typing import Any, cast

import pytest

from restem.config.decoding import Decoding
from restem.policies.flops import Forward
from restem.rewards.verifier import Verdict
from restem.sampling.engine import Completion
from restem.sampling.prompts import PromptForm
from restem.tasks.problem import Problem
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
