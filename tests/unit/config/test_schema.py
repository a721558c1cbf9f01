"""The schema for editors accepts what people may write, and marks what loading would refuse."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from restem.config.base import merge
from restem.config.schema import schema
from restem.config.strict_yaml import read_yaml
from tests.shipped import studies

CONFIG = Path(__file__).parents[3] / "config"
STUDIES = studies("config", "config/smollm2", "config/paper")
SCHEMA = Draft202012Validator(json.loads(schema()))
DEMO = read_yaml(CONFIG / "demo.yaml")


def fits(study: dict[str, Any]) -> bool:
    return not list(SCHEMA.iter_errors(study))


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_studies_of_the_repository_fit_as_they_are_written(path: Path) -> None:
    study = read_yaml(path)
    assert [error.message for error in SCHEMA.iter_errors(study)] == []
    for misspelled in ({"seedz": [0]}, {"training": {"learningrate": 1}}, {"claims": "some"}):
        assert not fits(merge(study, misspelled))


@pytest.mark.parametrize(
    "study",
    [
        {},
        {"training": {"epochs_max": 3}},
        {"extends": "config/smollm2.yaml", "study": "mine"},
        {"extends": "config/smollm2.yaml", "tasks": {"sums": {"data": {"train": 9}}}},
        {"extends": "config/smollm2.yaml", "variants": {"rft": None, "sft": {"task": "sums"}}},
        {"extends": "config/smollm2.yaml", "models": {"M": {"source": {"directory": "~/m"}}}},
    ],
    ids=str,
)
def test_a_study_that_extends_another_states_only_the_changes(study: dict[str, Any]) -> None:
    assert fits(study)


@pytest.mark.parametrize("key", ["tasks", "models", "decodings", "evaluations"])
def test_a_study_that_extends_nothing_needs_its_keys(key: str) -> None:
    rest = {name: value for name, value in DEMO.items() if name != key}
    assert fits(DEMO)
    assert not fits(rest)
    assert fits({**rest, "extends": "config/demo.yaml"})


def test_entries_of_lists_are_whole_because_lists_are_not_merged() -> None:
    evaluation = {"task": "chain", "split": "test", "decoding": "greedy"}
    assert fits({"evaluations": [evaluation]})
    assert not fits({"evaluations": [{"task": "chain"}]})
