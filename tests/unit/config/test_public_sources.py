"""A task that names no source reads the public one of its module."""

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from restem.config.data import LocalSource
from restem.config.load import load_study
from restem.config.schema import schema
from restem.config.study import Study
from restem.errors import RestemError
from restem.study.graph import StudyGraph
from restem.tasks.registry import load_task
from restem.tasks.splits import input_files

CONFIG = Path(__file__).parents[3] / "config"
PUBLIC = yaml.safe_load((CONFIG / "tasks/sources.yaml").read_text())["sources"]
BENCHMARKS = [name for name, source in PUBLIC.items() if source["kind"] == "hub"]


def load(task: str, block: Any, folder: Path = CONFIG) -> Study:
    study = {
        "study": "test",
        "tasks": {task: block},
        "models": {"S": {"source": {"kind": "embedded", "size": "S"}}},
        "decodings": {"greedy": {"draws": 1, "temperature": 0, "max_tokens": 8}},
        "evaluations": [{"task": task, "split": "test", "decoding": "greedy"}],
        "figures": [],
    }
    return load_study(copy.deepcopy(study), folder)


@pytest.mark.parametrize("block", [{}, {"data": {}}, {"data": {"test": 5}}])
@pytest.mark.parametrize("module", PUBLIC)
def test_every_task_has_a_public_source(module: str, block: dict[str, Any]) -> None:
    data = load(module, block).tasks[module].data
    assert data.source.kind == PUBLIC[module]["kind"]
    assert data.test == block.get("data", {}).get("test")


def test_the_module_decides_not_the_name() -> None:
    assert load("exam", {"module": "hungarian"}).tasks["exam"].data.source.kind == "hub"
    assert load("math", {"module": "chain"}).tasks["math"].data.source.kind == "embedded"


@pytest.mark.parametrize("module", BENCHMARKS)
def test_no_public_source_needs_a_file_to_be_planned(module: str) -> None:
    data = load(module, {}).tasks[module].data
    assert input_files(load_task(module), data, "test") == []


@pytest.mark.parametrize("module", BENCHMARKS)
def test_rows_of_every_public_file_are_stated(module: str) -> None:
    files = PUBLIC[module]["files"]
    assert all(count for split in files.values() for count in split.values())


def test_totals_are_those_of_the_benchmarks() -> None:
    totals = {
        (module, split): sum(PUBLIC[module]["files"].get(split, {}).values())
        for module in ("math", "gsm8k", "mbpp", "bbh_cot")
        for split in ("train", "test")
    }
    assert totals == {
        ("math", "train"): 7500, ("math", "test"): 5000,
        ("gsm8k", "train"): 7473, ("gsm8k", "test"): 1319,
        ("mbpp", "train"): 464, ("mbpp", "test"): 500,
        ("bbh_cot", "train"): 0, ("bbh_cot", "test"): 6511,
    }  # fmt: skip


def test_the_same_data_set_at_the_same_commit_keeps_its_files() -> None:
    same = {key: PUBLIC["gsm8k"][key] for key in ("kind", "id", "revision")}
    source = load("gsm8k", {"data": {"source": {**same, "held_out": 7}}}).tasks["gsm8k"].data.source
    assert source.files == PUBLIC["gsm8k"]["files"]  # type: ignore[union-attr]
    assert source.held_out == 7  # type: ignore[union-attr]
    for change in ({"id": "a/b"}, {"revision": "1" * 40}):
        with pytest.raises(RestemError, match="name the files of each split"):
            load("gsm8k", {"data": {"source": {**same, **change}}})


def test_a_source_of_ones_own_is_not_mixed_with_the_public_one() -> None:
    own = {"kind": "local", "directory": "d"}
    source = load("math", {"data": {"source": own}}).tasks["math"].data.source
    assert source.files == {} and source.prompts is None  # type: ignore[union-attr]


@pytest.mark.parametrize("block", [None, [], {"data": []}, {"data": 5}, {"module": ["math"]}])
def test_blocks_of_another_shape_are_told_as_such(block: Any) -> None:
    with pytest.raises(RestemError, match="the configuration has"):
        load("math", block)


def test_a_task_without_a_public_source_has_to_name_one(tmp_path: Path) -> None:
    with pytest.raises(RestemError, match=r"tasks\.own\.data: this key is required"):
        load("own", {})
    with pytest.raises(RestemError, match=r"tasks\.own\.data\.source: this key is required"):
        load("own", {"data": {"test": 1}})


def test_editors_accept_a_task_without_source() -> None:
    blocks = json.loads(schema())["$defs"]
    assert "source" not in blocks["TaskData"].get("required", [])
    assert "data" not in blocks["TaskBlock"].get("required", [])


def test_another_pin_concerns_the_problems_of_its_task_alone(tmp_path: Path) -> None:
    folder = tmp_path / "config"
    shutil.copytree(CONFIG, folder)
    block = {"module": "gsm8k"}

    def settings(folder: Path) -> dict[str, Any]:
        study = {
            "study": "test",
            "tasks": {"math": {}, "words": block},
            "models": {"S": {"source": {"kind": "embedded", "size": "S"}}},
            "decodings": {"greedy": {"draws": 1, "temperature": 0, "max_tokens": 8}},
            "evaluations": [{"task": "math", "split": "test", "decoding": "greedy"}],
            "figures": [],
        }
        graph = StudyGraph(load_study(study, folder))
        return {task: graph.problems_settings(task, "test") for task in ("math", "words")}

    before = settings(folder)
    file = folder / "tasks/sources.yaml"
    file.write_text(file.read_text().replace(PUBLIC["gsm8k"]["revision"], "f" * 40))
    after = settings(folder)
    assert after["math"] == before["math"]
    assert after["words"] != before["words"]


def test_a_home_folder_in_a_directory_of_data_is_expanded() -> None:
    source = LocalSource.model_validate({"kind": "local", "directory": "~/data"})
    assert source.directory == Path.home() / "data"
