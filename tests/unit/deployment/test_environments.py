"""A stage runs in the environment of its lock file, or says how to set that up."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from restem.deployment import environments
from restem.errors import RestemError
from restem.stages.declaration import load_stage

GREEDY = {"draws": 1, "temperature": 0, "max_tokens": 4}
SAMPLES = {"task": "chain", "decoding": GREEDY, "address": ["test", "greedy", 0], "engine": {}}
POLICY = {"task": "chain", "verifier": "math", "reward": {}, "validation": GREEDY, "seed": 0}
CPU = SAMPLES | {"engine": {"name": "vllm", "device": "cpu"}}
GPU = SAMPLES | {"engine": {"name": "vllm"}}


class Replaced(Exception):
    """Stand for the process that would replace this one."""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def execute(path: Path, arguments: list[str]) -> None:
        raise Replaced(path, *arguments)

    monkeypatch.setattr(environments, "PACKAGE_ROOT", tmp_path / "src" / "restem")
    monkeypatch.setattr(environments, "find_spec", lambda _: None)
    monkeypatch.setattr(os, "execv", execute)
    return tmp_path


def command(settings: Any, stage: str = "samples") -> list[str]:
    return [stage, "--policy", "p.json", "--settings", json.dumps(settings), "--output", "o"]


@pytest.mark.parametrize(("settings", "family"), [(CPU, "vllm-cpu"), (GPU, "vllm")])
def test_sampling_runs_in_the_environment_of_its_engine(
    root: Path, settings: Any, family: str
) -> None:
    python = root / f".venv-{family}" / "bin" / "python"
    with pytest.raises(RestemError, match=f"make {family}`"):
        environments.enter(command(settings))
    python.parent.mkdir(parents=True)
    python.touch()
    with pytest.raises(Replaced) as replaced:
        environments.enter(command(settings))
    path = str(python)
    assert replaced.value.args == (python, path, "-m", "restem.cli", *command(settings))


@pytest.mark.parametrize(
    "arguments",
    [
        command(SAMPLES),
        command(SAMPLES | {"engine": {"name": "transformers"}}),
        command(POLICY | {"engine": {"name": "vllm"}}, "policy"),
        command(CPU)[:4] + ["{"],
        command(CPU)[:4],
        command([1]),
        ["plan"],
        [],
    ],
)
def test_other_commands_keep_their_interpreter(root: Path, arguments: list[str]) -> None:
    environments.enter(arguments)


def test_an_environment_that_has_the_engine_is_kept(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environments, "find_spec", lambda name: name)
    environments.enter(command(CPU))


def test_the_engine_decides_code_and_lock_of_stages_that_sample() -> None:
    samples, policy = load_stage("samples"), load_stage("policy")
    engines = [settings["engine"] for settings in (SAMPLES, GPU, CPU)]
    sampled = [SAMPLES | {"engine": engine} for engine in engines]
    trained = [POLICY | {"engine": engine} for engine in engines]
    assert [samples.family(s) for s in sampled] == ["model", "vllm", "vllm-cpu"]
    assert {policy.family(s) for s in trained} == {"training"}
    assert policy.family(trained[-1] | {"m_step": {"kind": "prompt"}}) == "vllm-cpu"
    engine = "restem.sampling.vllm.engine"
    assert engine in samples.modules(CPU)
    assert engine not in policy.modules(trained[-1])
    assert samples.modules(SAMPLES)[-1] == "restem.sampling.transformers.engine"
