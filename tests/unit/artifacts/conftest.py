"""Fixtures for tests of artifacts."""

from pathlib import Path

import pytest

from tests.unit.artifacts.example_stage import ExampleStage


@pytest.fixture
def stage(tmp_path: Path) -> ExampleStage:
    (tmp_path / "out").mkdir()
    return ExampleStage(tmp_path / "out")
