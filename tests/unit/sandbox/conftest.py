"""Workers for the tests of the sandbox, which all fail on a machine where a wall is missing."""

from collections.abc import Iterator

import pytest

from restem.rewards.code_judge import WorkerPair
from restem.sandbox.limits import Limits
from restem.sandbox.probe import require_walls
from restem.sandbox.worker import Worker


@pytest.fixture(scope="session")
def walls() -> None:
    require_walls()


@pytest.fixture(scope="module")
def workers(walls: None) -> Iterator[WorkerPair]:
    pair = WorkerPair(Worker(), Worker())
    yield pair
    pair.close()


@pytest.fixture(scope="module")
def worker(workers: WorkerPair) -> Worker:
    return workers.programs


@pytest.fixture
def limits() -> Limits:
    return Limits(cpu_seconds=0.4, wall_seconds=1.5, memory_mib=256, files_mib=8)
