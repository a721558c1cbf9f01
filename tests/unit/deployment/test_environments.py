"""A stage runs in the environment of its lock file, or says how to set that up."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from restem.artifacts.digests import lock_digest
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


def in_an_image(root: Path, monkeypatch: pytest.MonkeyPatch, lock: str) -> str:
    """Pretend to be in an image; return the digest of the lock that a job is planned with."""
    path = root / "envs" / "model.txt"
    path.parent.mkdir()
    path.write_text(lock)
    monkeypatch.setenv("APPTAINER_CONTAINER", str(root / "containers" / "train-0123.sif"))
    return lock_digest(path)


@pytest.mark.parametrize(
    ("lock", "missing"),
    [
        ("numpy==0.1\n", r"numpy \S+ instead of 0.1"),
        ("absent-package==1.0\n", "absent-package 1.0 is missing"),
        (f"# a comment\npytest=={pytest.__version__}\n", None),
        (f"pytest=={pytest.__version__}+local\n", None),
    ],
)
def test_a_job_in_an_image_finds_the_packages_of_its_lock_there(
    root: Path, monkeypatch: pytest.MonkeyPatch, lock: str, missing: str | None
) -> None:
    planned = in_an_image(root, monkeypatch, lock)
    arguments = [*command(SAMPLES), "--environment", planned]
    if missing is None:
        environments.enter(arguments)
        return
    with pytest.raises(RestemError, match=missing) as error:
        environments.enter(arguments)
    assert error.value.where == "train-0123"
    monkeypatch.delenv("APPTAINER_CONTAINER")
    environments.enter(arguments)  # outside images the lock is not compared


def test_a_job_in_an_image_refuses_another_lock_than_it_was_planned_with(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_an_image(root, monkeypatch, f"pytest=={pytest.__version__}\n")
    environments.enter(command(SAMPLES))  # by hand, without a digest
    with pytest.raises(RestemError, match="not the one that this job was planned with"):
        environments.enter([*command(SAMPLES), "--environment", "another"])
