"""A claim on scale says nothing where the larger base model is not the better one."""

from typing import Any

import pytest
from pydantic import ValidationError

from restem.config.claims import Claim, Contrast
from restem.config.metrics import Metrics
from restem.pages.claims import markdown
from restem.statistics.claims import judge

SETTINGS = Metrics(ks=(1,), resamples=400)
PREMISE = {"plus": ["L/base"], "minus": ["S/base"]}
SCALE = {"plus": ["L/rest-em/last", "S/base"], "minus": ["L/base", "S/rest-em/last"]}


def rows(model: str, variant: str, share: float, n: int = 200) -> list[dict[str, Any]]:
    """Return results with that share right, the same problems first; trained with three seeds."""
    is_base = variant == "base"
    return [
        {
            "task": "math", "split": "test", "model": model, "variant": variant, "seed": seed,
            "iteration": 0 if is_base else 1, "decoding": "greedy", "problem_id": f"p{i}",
            "subject": "", "level": None, "draws": 1, "correct": int(i < share * n),
            "halted": None, "greedy": True,
        }
        for seed in range(1 if is_base else 3)
        for i in range(n)
    ]  # fmt: skip


def claim(**changes: Any) -> Claim:
    return Claim.model_validate(
        {"id": "X", "says": "It is better.", "where": "here", "task": "math"}
        | {"tests": [SCALE], **changes}
    )


def outcome(base_l: float, **changes: Any) -> Any:
    """Judge a claim on scale; S goes from 0.3 to 0.4, and L gains 0.3."""
    results = [*rows("S", "base", 0.3), *rows("S", "rest-em", 0.4)]
    results += [*rows("L", "base", base_l), *rows("L", "rest-em", base_l + 0.3)]
    stated = claim(premise=PREMISE, **changes)
    [judged] = judge([stated], results, SETTINGS)
    return judged


def test_it_is_tested_where_the_larger_base_is_better() -> None:
    assert outcome(0.5).verdict == "supported"


@pytest.mark.parametrize("base_l", [0.15, 0.3, 0.31])
def test_it_is_untested_with_the_reason_where_it_is_not(base_l: float) -> None:
    judged = outcome(base_l)
    assert judged.verdict == "untested"
    assert judged.p is judged.p_family is None
    expected = f"its premise is {'contradicted' if base_l < 0.3 else 'inconclusive'}: L/base - S/"
    assert judged.reason.startswith(expected)
    assert f"untested: {judged.reason}" in markdown([judged], {}, "embedded model", 0.95)


def test_a_premise_asks_for_more_whatever_the_claim_expects() -> None:
    assert outcome(0.5, expect="below").verdict == "contradicted"
    assert outcome(0.5, margin=0.1).verdict == "supported"


def test_a_premise_without_results_is_not_assumed() -> None:
    of_s = [*rows("S", "base", 0.3), *rows("S", "rest-em", 0.5)]
    stated = claim(tests=[{"plus": ["S/rest-em/last"], "minus": ["S/base"]}], premise=PREMISE)
    [judged] = judge([stated], of_s, SETTINGS)
    assert judged.verdict == "untested"
    assert "no results of L/base" in judged.reason


def test_stand_ins_take_the_place_of_models_in_a_premise_too() -> None:
    stated = claim(premise=PREMISE).tested_with({"math": {"L": "L-code"}})
    assert stated.premise == Contrast(plus=["L-code/base"], minus=["S/base"])


def test_false_positives_have_no_premise() -> None:
    tests = [{"plus": ["S/star/all@rationalised"], "minus": ["S/rest-em/all@first-try"]}]
    with pytest.raises(ValidationError, match="premise: false_positives have none"):
        claim(quantity="false_positives", check="equations", tests=tests, premise=PREMISE)
