"""A study to examine, with keys changed, and helpers that run one check."""

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from restem.config.load import load_study
from restem.deployment.profile import Profile
from restem.deployment.site import Site
from restem.doctor.diagnosis import Diagnosis, diagnose
from restem.doctor.findings import Finding
from restem.doctor.subject import Subject
from tests.unit.study.test_checks import CONFIG, STUDY

ROOT = CONFIG.parent
Examine = Callable[..., Subject]


@pytest.fixture(autouse=True)
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away the settings, caches and tokens of whoever runs the tests, and all networks."""
    for name in ("RESTEM_SITE", "RESTEM_STORE", "HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("RESTEM_CACHE", str(tmp_path / "restem"))


@pytest.fixture
def written(tmp_path: Path) -> Callable[[dict[str, Any]], Path]:
    """Return a function that writes the study with dotted keys changed."""

    def write(changes: dict[str, Any]) -> Path:
        study = copy.deepcopy(STUDY)
        study["tasks"]["chain"]["data"]["source"]["pool"] = 20  # quickly generated
        for key, value in changes.items():
            *parents, last = key.split(".")
            place: Any = study
            for name in parents:
                place = place.setdefault(name, {})
            place[last] = value
        path = tmp_path / "study.yaml"
        path.write_text(yaml.safe_dump(study))
        return path

    return write


@pytest.fixture
def diagnosed(written: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Diagnosis]:
    """Return a function that diagnoses the study with keys changed, where there is no SLURM."""
    monkeypatch.setattr("restem.doctor.diagnosis.shutil.which", lambda name: None)

    def run(changes: dict[str, Any] | None = None) -> Diagnosis:
        return diagnose(written(changes or {}), root=ROOT)

    return run


def lines(findings: list[Finding] | Iterator[Finding], level: str) -> list[str]:
    """Return the texts of the findings of one level."""
    return [finding.text for finding in findings if finding.level == level]


@pytest.fixture
def subject(written: Any) -> Examine:
    """Return a function that makes the subject of one check."""

    def make(
        changes: dict[str, Any] | None = None,
        profile: dict[str, Any] | None = None,
        site: dict[str, Any] | None = None,
    ) -> Subject:
        path = written(changes or {})
        study = load_study(yaml.safe_load(path.read_text()), CONFIG)
        content = None if profile is None else Profile(Path("slurm"), profile)
        settings = Site.model_validate(site or {})
        return Subject(ROOT, settings, content, path=path, study=study)

    return make
