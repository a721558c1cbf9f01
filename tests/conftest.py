"""Programs that tests need besides Python, and folders that all workers of a test run share."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path

import pytest

HERE = Path(__file__).parent
REQUIRED = "RESTEM_TOOLS_REQUIRED"  # set in CI: a missing program fails there instead of skipping
NEEDS = {
    "cluster": ("munged", "slurmctld", "slurmd", "sbatch"),
    "cluster/test_images.py": ("apptainer",),
    "cluster/test_real_layout.py": ("apptainer",),
    "unit/pages/test_browser.py": ("chromium",),
    "unit/sandbox": ("bwrap",),
    "unit/rewards/test_code.py": ("bwrap",),
    "unit/tasks/test_code_tasks.py": ("bwrap",),
}

# One thread for each worker, before torch is imported: on a busy machine the threads of OpenMP wait
# for each other in loops, and the same tests took 20 times as long. Jobs set their own number.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Property tests try the same inputs each time, so that a commit passes or fails by what it changed.
# RESTEM_RANDOM=1 tries others.
with suppress(ModuleNotFoundError):  # the environment of vLLM has none, and its tests need none
    from hypothesis import settings

    settings.register_profile("same", derandomize=True, database=None, deadline=None)
    if not os.environ.get("RESTEM_RANDOM"):
        settings.load_profile("same")

LONGEST = ("end_to_end", "workflow/test_same_plan.py")  # minutes, in one piece

# Left out of `make check`, for which two minutes have to be enough: each takes seconds.
SLOW = (
    "unit/answers/test_workers.py",
    "unit/artifacts/test_sharing.py::test_kills_leave_no_wrong_content",
    "unit/deployment/test_snakemake_patches.py",
    "unit/deployment/test_hashed.py",
    "unit/deployment/test_wheels.py",
    "unit/figures/test_figures.py::test_two_processes_write_the_same_bytes",
    "unit/pages/test_browser.py",
    "unit/pages/test_index.py::test_its_size_is_bounded_whatever_a_study_holds",
    "unit/policies/test_libraries.py",
    "unit/sampling/test_vllm_loading.py",
    "unit/sandbox",
    "unit/stages/test_architecture.py",
    "unit/stages/test_policy.py",
    "unit/stages/test_recheck.py",
    "unit/statistics/test_coverage.py",
    "unit/statistics/test_evaluation.py::test_intervals_cover_the_truth",
    "unit/statistics/test_power.py::test_simulated_power_is_within_five_points",
    "unit/study/test_paper_figures_drawn.py",
    "unit/tasks/test_code_tasks.py",
    "unit/tasks/test_overlap.py",
    "unit/tasks/test_reasoning_gym.py",
    "unit/tasks/test_splits.py::test_real_splits",
    "unit/tasks/test_wheels.py",
    "unit/tools/test_archive.py",
    "unit/tools/test_browse.py",
    "unit/tools/test_compare.py",
    "unit/tools/test_data.py",
    "unit/tools/test_grade.py",
    "unit/tools/test_plan.py",
    "unit/tracking",
    "unit/training",
)


def missing(place: Path) -> list[str]:
    """Name the programs that tests at a place need and this machine lacks."""
    programs = [p for start, p in NEEDS.items() if place.is_relative_to(HERE / start)]
    lacking = [name for names in programs for name in names if not shutil.which(name)]
    return lacking + (["root"] if place.is_relative_to(HERE / "cluster") and os.getuid() else [])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is slow; skip what cannot run here, and say what to install, except in CI."""
    begin_with_the_longest(items)
    for item in items:
        if item.nodeid.removeprefix("tests/").startswith(SLOW):
            item.add_marker(pytest.mark.slow)
        if os.environ.get(REQUIRED):
            continue
        if lacking := missing(item.path):
            reason = f"needs {', '.join(lacking)}: see .ci/run, tests/cluster and containers"
            item.add_marker(pytest.mark.skip(reason=reason))


def begin_with_the_longest(items: list[pytest.Item]) -> None:
    """Let workers of xdist begin with the tests that take longest in one piece, one worker each.

    At first each worker gets a share of the list, in order; the tests on a cluster open the first.
    At the end of a share, these tests left the other workers without work for minutes.
    """
    longest = [[i for i in items if i.path.is_relative_to(HERE / place)] for place in LONGEST]
    others = iter([item for item in items if not any(item in tests for tests in longest)])
    ordered: list[pytest.Item] = []
    for workers in range(int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")), 0, -1):
        share = (len(items) - len(ordered)) // workers
        first = longest.pop() if len(longest) == workers or (longest and ordered) else []
        ordered += [*first, *islice(others, max(0, share - len(first)))]
    items[:] = [*ordered, *chain.from_iterable(longest), *others]


@pytest.fixture(autouse=True)
def same_environment() -> Iterator[None]:
    """Give each test the variables that the run began with, whatever the one before it has set."""
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that all workers of the test run share."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the directory of the real data, or skip."""
    beside = Path(__file__).parents[2] / "shared/data"
    folder = Path(os.environ.get("RESTEM_DATA", beside))
    if not (folder / "math/train.jsonl.gz").is_file():
        pytest.skip("the benchmark data is not on this machine (set RESTEM_DATA)")
    return folder


def once(folder: Path, name: str, make: Callable[[Path], object]) -> Path:
    """Make a folder in one of the workers; the others wait for it."""
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / f"{name}.done").exists():
            make(folder / name)
            (folder / f"{name}.done").touch()
    return folder / name
