"""The stage as a command: one process or several, terminated, its card, notes and hashes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from restem.artifacts.seals import read_seal
from restem.config.study import Study
from restem.policies.manifest import read_policy, verify_checkpoint
from restem.study.graph import Policy, StudyGraph

STUDY = {
    "study": "stage",
    "tasks": {
        "chain": {
            "data": {
                "source": {"kind": "embedded"},
                "train": 8,
                "validation": 2,
                "test": 2,
                "shots": 1,
            }
        }
    },
    "models": {"S": {"source": {"kind": "embedded", "size": "S"}}},
    "decodings": {"greedy": {"draws": 1, "temperature": 0, "max_tokens": 24}},
    "methods": {"sft": {"selection": {"model_data": False, "human": "careful"}}},
    "variants": {"sft": {"method": "sft", "task": "chain"}},
    "evaluations": [{"task": "chain", "split": "test", "decoding": "greedy"}],
}
POLICY = Policy("chain", "S", "sft", 0, 1)


def restem(stage: str, settings: Any, **options: Any) -> list[str]:
    given = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    command = [sys.executable, "-W", "ignore", "-m", "restem.cli", stage, *given]
    return [*command, "--settings", json.dumps(settings)]


class Inputs:
    """Hold the tables and the base policy that a fine-tuning reads."""

    def __init__(self, root: Path) -> None:
        self.root = root
        walk = self.walk({})
        splits = {split: root / f"{split}.parquet" for split in ("train", "validation", "shots")}
        for split, path in splits.items():
            self.run("problems", walk.problems_settings("chain", split), output=path)
        base = {"output": root / "base/policy.json", "checkpoint": root / "base/checkpoint"}
        self.run("base", walk.base_settings("S"), **base)
        tables = {"problems": splits["train"], "shots": splits["shots"]}
        made = root / "examples.parquet"
        self.run("examples", walk.examples_settings(POLICY), output=made, **tables)
        self.files = {"examples": made, "start": base["output"]}
        self.files |= {"validation": splits["validation"], "shots": splits["shots"]}

    def walk(self, training: dict[str, Any]) -> StudyGraph:
        settings = {"epochs_max": 2, "batch_size": 3, "learning_rate": 4e-4, **training}
        return StudyGraph(Study.model_validate({**STUDY, "training": settings}))

    def run(self, stage: str, settings: Any, **options: Any) -> None:
        subprocess.run(restem(stage, settings, **options), check=True, capture_output=True)

    def policy(self, folder: Path, training: dict[str, Any], **options: Any) -> list[str]:
        outputs = {"output": folder / "policy.json", "checkpoint": folder / "checkpoint"}
        settings = self.walk(training).policy_settings(POLICY)
        files = {**self.files, **outputs, **options}
        return restem("policy", settings, **{k: v for k, v in files.items() if v is not None})


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    return Inputs(tmp_path_factory.mktemp("inputs"))


def done(command: list[str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_terminated_and_given_again_it_makes_the_same_policy(
    inputs: Inputs, tmp_path: Path
) -> None:
    training = {"lora": {"rank": 2, "dropout": 0.1}, "stop": "epochs", "validations": 1}
    assert done(inputs.policy(tmp_path / "whole", training)).returncode == 0
    whole = read_policy(tmp_path / "whole/policy.json")
    verify_checkpoint(whole)
    assert "adapter/adapter_model.safetensors" in whole.files
    card = (whole.checkpoint / "README.md").read_text()
    assert str(whole.provenance["key"]) in card
    assert "| 6 | 0." in card
    seal = read_seal(tmp_path / "whole/policy.json")
    assert seal is not None
    assert seal["notes"]["peak_memory_bytes"] > 10**7
    assert 0 < seal["notes"]["validation_seconds"] < seal["notes"]["wall_seconds"]
    assert "_seconds" not in (tmp_path / "whole/policy.json").read_text()

    command = inputs.policy(tmp_path / "part", training, **{"save-seconds": 0})
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    state = tmp_path / "part/.restem/training"
    while not (state.exists() and list(state.glob("*.pt"))):
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGTERM)
    process.communicate()
    assert process.returncode == 143
    assert not (tmp_path / "part/policy.json").exists()
    again = done(command)
    assert "resumed after step" in again.stdout
    part = read_policy(tmp_path / "part/policy.json")
    assert part.files == whole.files
    assert part.report == whole.report
    assert not state.exists()


def test_validation_problems_are_needed_only_where_they_are_validated_on(
    inputs: Inputs, tmp_path: Path
) -> None:
    never, stopping = {"stop": "epochs"}, {"stop": "validation_reward"}
    result = done(inputs.policy(tmp_path / "never", never, validation=None))
    assert result.returncode == 0, result.stderr
    assert "0% of it in validations" in result.stdout
    result = done(inputs.policy(tmp_path / "stopping", stopping, validation=None))
    assert result.returncode == 1
    assert "there is no validation problem to measure the reward on" in result.stderr


def test_several_processes_make_one_policy(inputs: Inputs, tmp_path: Path) -> None:
    result = done(inputs.policy(tmp_path, {"processes": 2}))
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("step 0 of") == 1
    policy = read_policy(tmp_path / "policy.json")
    verify_checkpoint(policy)
    assert len(policy.report["losses"]) > 0
    assert not (tmp_path / ".restem/work.json").exists()


def test_a_failing_process_is_told(inputs: Inputs, tmp_path: Path) -> None:
    result = done(inputs.policy(tmp_path, {"processes": 2, "max_length_tokens": 2}))
    assert result.returncode == 1
    assert "there is no example to train on" in result.stderr
    assert "training.processes = 2" in result.stderr
    assert not (tmp_path / "policy.json").exists()
