"""What several tests of artifacts share."""

from pathlib import Path

import pytest

from tests.unit.artifacts.bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    (tmp_path / "out").mkdir()
    return Bench(tmp_path / "out")
