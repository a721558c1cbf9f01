"""Claims that are tested together keep the chance of any false verdict."""

from dataclasses import replace

import numpy as np
import pytest

from restem.config.claims import Claim
from restem.pages.claims import markdown
from restem.statistics.multiplicity import holm, in_family
from restem.statistics.verdicts import Finding, Outcome, Verdict, as_rows


def finding(supports: float, contradicts: float | None = None) -> Finding:
    opposite = 1 - supports if contradicts is None else contradicts
    verdict: Verdict = "supported" if supports < 0.025 else "inconclusive"
    verdict = "contradicted" if opposite < 0.025 else verdict
    return Finding(1, "a - b", 0.1, 0.0, 0.2, 100, 3, 2, verdict, supports, opposite)


def outcome(*findings: Finding, name: str = "X") -> Outcome:
    test = {"plus": ["S/rest-em/last"], "minus": ["S/base"]}
    about = {"id": name, "says": "So.", "where": "here", "task": "math", "tests": [test]}
    verdicts = {f.verdict for f in findings}
    verdict: Verdict = "supported" if verdicts == {"supported"} else "inconclusive"
    if "contradicted" in verdicts:
        verdict = "contradicted"
    return Outcome(Claim.model_validate(about), verdict, findings)


def test_holm_is_that_of_a_worked_example() -> None:
    # Holm (1979): sorted p times 4, 3, 2, 1, never falling, at most 1.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_a_verdict_that_only_just_holds_alone_is_not_one_among_many() -> None:
    alone = in_family([outcome(finding(0.02))], 0.95)
    assert [o.family for o in alone] == ["supported"]
    among = in_family([outcome(finding(0.02)), *(outcome(finding(0.4)) for _ in range(9))], 0.95)
    assert among[0].verdict == "supported"
    assert among[0].family == "inconclusive"


def test_the_p_of_a_claim_is_of_its_weakest_support_or_its_clearest_contradiction() -> None:
    [supported] = in_family([outcome(finding(0.001), finding(0.01))], 0.95)
    assert supported.p == pytest.approx(0.02)
    [contradicted] = in_family([outcome(finding(0.5), finding(0.999))], 0.95)
    assert contradicted.p == pytest.approx(2 * 2 * 0.001)


def test_what_one_training_cannot_decide_is_no_member_of_the_family() -> None:
    once = Outcome(
        outcome(finding(0.001)).claim,
        "inconclusive",
        (replace(finding(0.001), seeds=1, supports=None, contradicts=None),),
    )
    decided = in_family([outcome(finding(0.02)), once], 0.95)
    assert [o.p is None for o in decided] == [False, True]
    assert [o.family for o in decided] == ["supported", None]


def test_the_chance_of_any_false_verdict_is_kept() -> None:
    """Under the null, 22 claims find something in 4 studies of 10; after Holm in 1 of 20."""
    rng = np.random.default_rng(0)
    wrong = {"alone": 0, "together": 0}
    for _ in range(1000):
        claims = [outcome(finding(float(p))) for p in rng.random(22)]
        decided = in_family(claims, 0.95)
        wrong["alone"] += any(o.verdict == "supported" for o in decided)
        wrong["together"] += any(o.family in ("supported", "contradicted") for o in decided)
    assert 380 < wrong["alone"] < 480
    assert wrong["together"] < 70


def test_page_and_table_say_how_claims_hold_together() -> None:
    decided = in_family([outcome(finding(0.02)), outcome(finding(0.4), name="Y")], 0.95)
    page = markdown(decided, {}, "embedded model", 0.95)
    assert "not covered together" in page
    assert "| X | supported | 0.04 | inconclusive |" not in page  # 0.04 x 2 > 0.05, in words below
    assert "| X | supported | 0.040 | inconclusive (0.080) |" in page
    assert [row["family"] for row in as_rows(decided)] == ["inconclusive", "inconclusive"]
