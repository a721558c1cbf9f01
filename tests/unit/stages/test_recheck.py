"""The second verdict on kept solutions: a fixed sample, and one verdict per solution and check."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from restem.artifacts.schemas.evaluation import RECHECK
from restem.artifacts.schemas.loop import EXAMPLES, KEPT, PROBLEMS, REWARDS, SAMPLES
from restem.artifacts.seals import Recipe
from restem.artifacts.store import Job
from restem.artifacts.tables import read_rows, table, write_table
from restem.errors import RestemError
from restem.rewards.code_spec import Spec
from restem.stages import recheck
from restem.tasks.problem import Problem, to_row

Draw = tuple[str, str, int]  # problem, source, draw
RIGHT = " Now $a=1+2=3$. \\boxed{3}"
MATH = {"task": "chain", "verifier": "math", "reward": {}, "equations": False}
CODE = {"task": "mbpp", "verifier": "code", "reward": {"code": {"held_back": 1}}, "equations": True}


def write(
    folder: Path,
    gold: dict[str, str],
    drawn: dict[Draw, tuple[str, str | None, str]],
    decisions: dict[Draw, str] | None = None,
) -> tuple[Path, list[Path], list[Path], Path]:
    """Write what a policy was trained on: (completion, extracted, verdict) by draw."""
    problems = [Problem(name, "?", answer) for name, answer in gold.items()]
    write_table(folder / "problems", PROBLEMS, table(PROBLEMS, map(to_row, problems)), {})
    examples = [
        {"problem_id": p, "source": s, "draw": d, "weight": 1.0}
        | {"decision": (decisions or {}).get((p, s, d), KEPT)}
        for p, s, d in drawn
    ]
    examples.append({"problem_id": "p0", "source": "human:careful", "draw": -1, "weight": 1.0}
                    | {"decision": KEPT})  # fmt: skip
    write_table(folder / "examples", EXAMPLES, table(EXAMPLES, examples), {})
    samples, rewards = [], []
    for source in sorted({s for _, s, _ in drawn}):
        mine = {(p, d): told for (p, s, d), told in drawn.items() if s == source}
        texts = [
            {"problem_id": p, "draw": d, "seed": 0, "completion": text, "tokens": 1}
            | {"prompt_tokens": 1, "finish_reason": "stop", "logprob": -1.0, "request": ""}
            for (p, d), (text, _, _) in mine.items()
        ]
        verdicts = [
            {"problem_id": p, "draw": d, "reward": 1.0, "fraction": 1.0, "layer": ""}
            | {"flexible": verdict, "verdict": verdict, "extracted": answer}
            for (p, d), (_, answer, verdict) in mine.items()
        ]
        name = source.replace(":", "-")
        samples.append(folder / f"{name}.samples")
        rewards.append(folder / f"{name}.rewards")
        write_table(samples[-1], SAMPLES, table(SAMPLES, texts), {})
        write_table(rewards[-1], REWARDS, table(REWARDS, verdicts), {})
    return folder / "examples", samples, rewards, folder / "problems"


def rechecked(
    folder: Path, settings: dict[str, Any], sources: list[list[Any]], *given: Any, sample: int = 100
) -> list[dict[str, Any]]:
    full = {**settings, "sources": sources, "sample": sample, "seed": 0}
    job = Job(Recipe("recheck", full, {}, "none", {}), {})
    recheck.run(job, recheck.Settings.model_validate(full), *given, output=folder / "out")
    return read_rows(folder / "out", RECHECK)


def outcomes(rows: list[dict[str, Any]], check: str) -> dict[Draw, str]:
    return {
        (r["problem_id"], r["source"], r["draw"]): r["outcome"] for r in rows if r["check"] == check
    }


def test_the_second_grader_rejects_what_only_our_verifier_accepts(tmp_path: Path) -> None:
    gold = {"p0": "3", "p1": "\\frac{1}{2}", "p2": "7"}
    drawn = {
        ("p0", "model", 0): (RIGHT, "3", "correct"),
        ("p1", "model", 0): ("\\boxed{0.5}", "0.5", "correct"),
        ("p2", "model", 0): ("\\boxed{8}", "8", "correct"),  # a false positive, planted
        ("p2", "model", 1): ("no box", None, "unextractable"),
    }
    rows = rechecked(tmp_path, MATH, [["model", 0]], *write(tmp_path, gold, drawn))
    assert outcomes(rows, "second grader") == {
        ("p0", "model", 0): "accepted",
        ("p1", "model", 0): "accepted",
        ("p2", "model", 0): "rejected",
        ("p2", "model", 1): "rejected",
    }
    assert {row["kept"] for row in rows} == {4}
    assert {row["check"] for row in rows} == {"second grader"}


def test_a_right_answer_after_a_wrong_step_is_found(tmp_path: Path) -> None:
    drawn = {
        ("p0", "hint", 0): (" Now $a=1+2=4$. \\boxed{3}", "3", "correct"),
        ("p0", "hint", 1): (RIGHT, "3", "correct"),
        ("p0", "hint", 2): (" \\boxed{3}", "3", "correct"),
    }
    settings = {**MATH, "equations": True}
    rows = rechecked(tmp_path, settings, [["hint", 0]], *write(tmp_path, {"p0": "3"}, drawn))
    found = outcomes(rows, "equations")
    assert list(found.values()) == ["rejected", "accepted", "undecided"]
    assert set(outcomes(rows, "second grader").values()) == {"accepted"}
    assert {row["origin"] for row in rows} == {"rationalised"}
    assert next(row["detail"] for row in rows if row["outcome"] == "rejected") == "1+2=4"


def test_programs_run_the_tests_that_did_not_decide(tmp_path: Path) -> None:
    tests = "assert f(1) == 3\nassert f(2) == 6"
    gold = {
        "p0": Spec(kind="asserts", entry="f", tests=tests).dump(),
        "p1": Spec(kind="asserts", entry="f", tests="assert f(1) == 3").dump(),
    }
    drawn = {
        ("p0", "model", 0): ("def f(x): return 3 * x", "", "correct"),
        ("p0", "model", 1): ("def f(x): return 3", "", "correct"),
        ("p0", "model", 2): ("def f(x):\n  if x == 2: exit()\n  return 3", "", "correct"),
        ("p1", "model", 0): ("def f(x): return 3", "", "correct"),
    }
    rows = rechecked(tmp_path, CODE, [["model", 0]], *write(tmp_path, gold, drawn))
    found = outcomes(rows, "held-back tests")
    assert list(found.values()) == ["accepted", "rejected", "rejected", "undecided"]
    assert len(rows) == 4


def test_what_was_not_kept_and_what_people_wrote_is_not_audited(tmp_path: Path) -> None:
    drawn = {("p0", "model", d): (RIGHT, "3", "correct") for d in range(3)}
    given = write(tmp_path, {"p0": "3"}, drawn, {("p0", "model", 1): "over the cap"})
    rows = rechecked(tmp_path, MATH, [["model", 0]], *given)
    assert sorted(outcomes(rows, "second grader")) == [("p0", "model", 0), ("p0", "model", 2)]
    assert {row["kept"] for row in rows} == {2}


def test_the_same_draw_of_two_sources_is_two_solutions(tmp_path: Path) -> None:
    """The older one is wrong; it must not get the verdict of the newer one."""
    drawn = {
        ("p0", "model", 0): (RIGHT, "3", "correct"),
        ("p0", "model:1", 0): ("\\boxed{4}", "4", "correct"),
        ("p0", "hint", 0): ("\\boxed{5}", "5", "correct"),
    }
    sources = [["hint", 0], ["model", 0], ["model", 1]]  # in the order in which they are written
    rows = rechecked(tmp_path, MATH, sources, *write(tmp_path, {"p0": "3"}, drawn))
    assert outcomes(rows, "second grader") == {
        ("p0", "hint", 0): "rejected",
        ("p0", "model", 0): "accepted",
        ("p0", "model:1", 0): "rejected",
    }
    assert {(row["source"], row["origin"]) for row in rows} == {
        ("hint", "rationalised"),
        ("model", "first try"),
        ("model:1", "first try"),
    }


def test_each_origin_has_a_sample_of_its_own_and_it_stays_the_same(tmp_path: Path) -> None:
    drawn = {("p0", "model", d): (RIGHT, "3", "correct") for d in range(50)}
    drawn |= {("p0", "hint", d): (RIGHT, "3", "correct") for d in range(3)}
    given = write(tmp_path, {"p0": "3"}, drawn)
    sources = [["hint", 0], ["model", 0]]
    rows = rechecked(tmp_path, MATH, sources, *given, sample=5)
    assert rows == rechecked(tmp_path, MATH, sources, *given, sample=5)
    counts = [row["origin"] for row in rows]
    assert (counts.count("first try"), counts.count("rationalised")) == (5, 3)
    assert {row["origin"]: row["kept"] for row in rows} == {"first try": 50, "rationalised": 3}
    assert {row["draw"] for row in rows if row["origin"] == "first try"} != set(range(5))


def test_nothing_kept_is_nothing_audited_and_no_grader_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    drawn = {("p0", "model", 0): ("\\boxed{4}", "4", "incorrect")}
    given = write(tmp_path, {"p0": "3"}, drawn, {("p0", "model", 0): "incorrect"})
    assert rechecked(tmp_path, MATH, [["model", 0]], *given) == []


def test_without_the_second_grader_it_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    given = write(tmp_path, {"p0": "3"}, {("p0", "model", 0): (RIGHT, "3", "correct")})
    with pytest.raises(RestemError, match="make second-grader"):
        rechecked(tmp_path, MATH, [["model", 0]], *given)


def test_examples_of_other_samples_are_refused(tmp_path: Path) -> None:
    given = write(tmp_path, {"p0": "3"}, {("p0", "model", 0): (RIGHT, "3", "correct")})
    with pytest.raises(RestemError, match="no completion"):
        rechecked(tmp_path, MATH, [["hint", 0]], *given)
