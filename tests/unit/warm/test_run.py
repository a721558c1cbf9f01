"""A run says which stages start warm, and cleans up after itself."""

import json
import os
from pathlib import Path

import pytest

from restem.warm import run


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(run.VARIABLE, "")
    monkeypatch.delenv(run.VARIABLE)


def started() -> dict[str, str]:
    run.start()
    about = json.loads((Path(os.environ[run.VARIABLE]) / "run.json").read_text())
    assert about["owner"]["process"] == os.getpid()
    stages: dict[str, str] = about["stages"]
    return stages


def test_every_stage_starts_warm_with_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "gpu_is_visible", lambda: False)
    stages = started()
    assert stages["policy"] == stages["samples"] == stages["base"] == "model"
    assert stages["metrics"] == stages["false-positives"] == stages["figure"] == "data"
    folder = Path(os.environ[run.VARIABLE])
    assert folder.stat().st_mode & 0o777 == 0o700
    run.stop()
    assert not folder.exists() and run.VARIABLE not in os.environ
    run.stop()


def test_what_may_use_a_gpu_starts_cold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "gpu_is_visible", lambda: True)
    stages = started()
    assert "policy" not in stages and "samples" not in stages and stages["metrics"] == "data"
    run.stop()


def test_where_jobs_are_elsewhere_nothing_is_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = os.environ[run.VARIABLE] = str(Path.cwd())  # of an outer run
    run.start(jobs_are_here=False)
    assert run.VARIABLE not in os.environ
    run.stop()
    assert Path(folder).exists()


def test_it_can_be_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(run.VARIABLE, "no")
    run.start()
    assert os.environ[run.VARIABLE] == "no"
    run.stop()
