"""Stage changes: shards of two policies become one table; texts of the chosen problems only."""

from pathlib import Path
from typing import Any

import pytest

from restem.artifacts.schemas.evaluation import CHANGES
from restem.artifacts.schemas.loop import PROBLEMS, REWARDS, SAMPLES
from restem.artifacts.seals import Recipe
from restem.artifacts.store import Job
from restem.artifacts.tables import read_rows, table, write_table
from restem.stages import changes
from restem.tasks.problem import Problem, to_row

BEFORE = "pretrained/S/base/seed-0/iter-0/sums/test/greedy/seed-0"
AFTER = "sums/S/rest-em/seed-0/iter-2/sums/test/greedy/seed-0"
COMPARED = {
    "task": "sums", "model": "S", "variant": "rest-em", "seed": 0, "iteration": 2,
    "decoding": "greedy", "before": BEFORE, "after": AFTER,
}  # fmt: skip


def write(root: Path, address: str, correct: dict[str, bool]) -> dict[str, list[Path]]:
    """Write the completions and verdicts of one policy in two shards."""
    found: dict[str, list[Path]] = {"samples": [], "rewards": []}
    for shard in (1, 2):
        ids = sorted(correct)[shard - 1 :: 2]
        samples = [
            {"problem_id": p, "draw": 0, "seed": 1, "completion": f"{address} {p}", "tokens": 4}
            | {"prompt_tokens": 1, "finish_reason": "length", "logprob": -1.0, "request": ""}
            for p in ids
        ]
        rewards = [
            {"problem_id": p, "draw": 0, "reward": 1.0, "fraction": 1.0, "layer": ""}
            | {"flexible": "", "extracted": "7" if correct[p] else None}
            | {"verdict": "correct" if correct[p] else "unextractable"}
            for p in ids
        ]
        for kind, rows in ((SAMPLES, samples), (REWARDS, rewards)):
            path = root / address / kind.name / f"{shard}-of-2.parquet"
            write_table(path, kind, table(kind, rows), {})
            found[kind.name].append(path)
    return found


def run(root: Path, shown: int, **correct: dict[str, bool]) -> list[dict[str, Any]]:
    """Compare what two policies solved; return the rows."""
    files = [write(root, address, correct[when]) for when, address in zip(
        ("before", "after"), (BEFORE, AFTER), strict=True)]  # fmt: skip
    problems = root / "sums/problems/test.parquet"
    asked = [Problem(name, f"What is {name}?", "7") for name in correct["before"]]
    write_table(problems, PROBLEMS, table(PROBLEMS, map(to_row, asked)), {})
    settings = {"split": "test", "compared": [COMPARED], "shown": shown}
    recipe = Recipe("changes", settings, {}, "", {})
    output = root / "changes.parquet"
    changes.run(
        job=Job(recipe, {"output": output}),
        settings=changes.Settings.model_validate(settings),
        samples=[path for of in files for path in of["samples"]],
        rewards=[path for of in reversed(files) for path in of["rewards"]],
        problems=[problems],
        output=output,
    )
    return read_rows(output, CHANGES)


def test_every_problem_has_a_row_and_few_have_texts(tmp_path: Path) -> None:
    names = [f"p{number}" for number in range(12)]
    before = {name: index % 2 == 0 for index, name in enumerate(names)}
    after = {name: index % 3 == 0 for index, name in enumerate(names)}
    rows = run(tmp_path / "results", 1, before=before, after=after)
    assert [row["problem_id"] for row in rows] == names
    kinds = {(True, True): "both", (True, False): "lost", (False, True): "gained",
             (False, False): "neither"}  # fmt: skip
    assert [r["change"] for r in rows] == [kinds[before[n], after[n]] for n in names]
    shown = [row for row in rows if row["place"]]
    assert sorted(row["change"] for row in shown) == ["gained", "lost", "neither"]
    for row in shown:
        assert row["before_completion"] == f"{BEFORE} {row['problem_id']}"
        assert row["after_completion"] == f"{AFTER} {row['problem_id']}"
        assert row["question"] == f"What is {row['problem_id']}?"
        assert row["after_extracted"] == ("7" if after[row["problem_id"]] else None)
        assert row["before_finish_reason"] == "length"
    assert all(row["question"] is row["after_completion"] is None for row in rows
               if not row["place"])  # fmt: skip


def test_a_halted_policy_has_no_rows(tmp_path: Path) -> None:
    assert run(tmp_path / "results", 5, before={"a": True, "b": False}, after={}) == []


@pytest.mark.parametrize("prefix", ["other", "x"])
def test_an_address_is_not_taken_for_one_that_ends_like_it(tmp_path: Path, prefix: str) -> None:
    inside = tmp_path / "results" / f"{AFTER}/samples/1-of-1.parquet"
    alike = tmp_path / "results" / f"{prefix}-{AFTER}/samples/1-of-1.parquet"
    assert changes._of([alike, inside], f"{AFTER}/samples") == [inside]
