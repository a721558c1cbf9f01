"""A stage goes on in the environment of its lock, and says how to make one that is missing."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from restem.deployment import environments
from restem.errors import RestemError
from restem.stages.declaration import load_stage

CPU = {"engine": {"name": "vllm", "device": "cpu"}}
GPU = {"engine": {"name": "vllm"}}


class Entered(Exception):
    """Stand for the process that would go on."""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def execute(path: Path, arguments: list[str]) -> None:
        raise Entered(path, *arguments)

    monkeypatch.setattr(environments, "PACKAGE_ROOT", tmp_path / "src" / "restem")
    monkeypatch.setattr(environments, "find_spec", lambda _: None)
    monkeypatch.setattr(os, "execv", execute)
    return tmp_path


def command(settings: Any, stage: str = "samples") -> list[str]:
    return [stage, "--policy", "p.json", "--settings", json.dumps(settings), "--output", "o"]


@pytest.mark.parametrize(("settings", "family"), [(CPU, "vllm-cpu"), (GPU, "vllm")])
def test_sampling_goes_on_in_the_engines_own_environment(
    root: Path, settings: Any, family: str
) -> None:
    python = root / f".venv-{family}" / "bin" / "python"
    with pytest.raises(RestemError, match=f"make {family}`"):
        environments.enter(command(settings))
    python.parent.mkdir(parents=True)
    python.touch()
    with pytest.raises(Entered) as entered:
        environments.enter(command(settings))
    path = str(python)
    assert entered.value.args == (python, path, "-m", "restem.cli", *command(settings))


@pytest.mark.parametrize(
    "arguments",
    [
        command({"engine": {}}),
        command({"engine": {"name": "transformers"}}),
        command(CPU, "policy"),
        command(CPU)[:4] + ["{"],
        command(CPU)[:4],
        command([1]),
        ["plan"],
        [],
    ],
)
def test_nothing_else_changes_its_interpreter(root: Path, arguments: list[str]) -> None:
    environments.enter(arguments)


def test_where_the_engine_is_there_nothing_changes(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environments, "find_spec", lambda name: name)
    environments.enter(command(CPU))


def test_the_engine_decides_code_and_lock_of_sampling_alone(tmp_path: Path) -> None:
    samples, policy = load_stage("samples"), load_stage("policy")
    greedy = {"draws": 1, "temperature": 0, "max_tokens": 4}
    sampled = {"task": "chain", "decoding": greedy, "address": ["test", "greedy", 0]}
    trained = {"task": "chain", "verifier": "math", "reward": {}, "validation": greedy, "seed": 0}
    kinds = ({"engine": {}}, GPU, CPU)
    assert [samples.family(sampled | kind) for kind in kinds] == ["model", "vllm", "vllm-cpu"]
    assert {policy.family(trained | kind) for kind in kinds} == {"training"}
    assert policy.family(trained | CPU | {"m_step": {"kind": "prompt"}}) == "vllm-cpu"
    engine = "restem.sampling.vllm.engine"
    assert engine in samples.modules(sampled | CPU)
    assert engine not in policy.modules(trained | CPU)
    assert samples.modules(sampled | kinds[0])[-1] == "restem.sampling.transformers.engine"
