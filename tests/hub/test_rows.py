"""The schema of rows describes the files of the hub's layouts and of local folders."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from restem.config.data import LocalSource
from restem.tasks import bbh
from restem.tasks.sources import Reader
from tests.hub.layouts import ROWS, made_up, public

SCHEMA = json.loads(
    (Path(__file__).parents[2] / "config/tasks/rows.schema.json").read_text(encoding="utf-8")
)
LOCAL = {
    "math": ["math/train.jsonl.gz", "math/test.jsonl.gz"],
    "math_shot": ["prompts/minerva_math_4shot.json"],
    "gsm8k": ["gsm8k/train.jsonl.gz", "gsm8k/test.jsonl.gz"],
    "gsm8k_shot": ["prompts/gsm8k_cot_8shot.json"],
    "apps": ["apps/train_intro.jsonl.gz"],
    "humaneval": ["humaneval/HumanEval.jsonl.gz"],
    "mbpp": ["mbpp/mbpp.jsonl.gz"],
    "leetcode": ["leetcode/train-v0.2.0.jsonl.gz", "leetcode/test-v0.3.1.jsonl.gz"],
    "bbh": [f"bbh/{name}.json" for name in bbh.FILES],
    "bbh_shot": ["prompts/bbh_cot_3shot_lm_eval.json"],
    "hungarian": ["hungarian/test.jsonl"],
}


def problems(kind: str, rows: list[Any]) -> list[str]:
    check = Draft202012Validator({**SCHEMA, "$ref": f"#/$defs/{kind}"})
    return [error.message for row in rows for error in check.iter_errors(row)]


def test_the_schema_is_one_and_has_every_task() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert set(LOCAL) | {"text", "texts"} == set(SCHEMA["$defs"])


@pytest.mark.parametrize("task", ROWS)
def test_rows_of_the_hub_are_of_the_schema(task: str) -> None:
    for split in public(task)["files"].values():
        for file in split:
            assert problems(task.removesuffix("_cot"), made_up(task, file, 120)) == []


@pytest.mark.parametrize("kind", LOCAL)
def test_rows_of_the_benchmarks_are_of_the_schema(kind: str, real_data: Path) -> None:
    reader = Reader(LocalSource(kind="local", directory=real_data), {})
    for file in LOCAL[kind]:
        assert problems(kind, [dict(row.values) for row in reader.rows(file)]) == []


@pytest.mark.parametrize("kind", sorted(LOCAL))
def test_an_empty_row_is_of_no_task(kind: str) -> None:
    assert problems(kind, [{}])
