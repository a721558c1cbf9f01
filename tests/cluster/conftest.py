"""A virtual SLURM for all tests of this folder, and trees of the tiny study to run on it."""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from restem.deployment.images import Image, verified

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def _module(name: str, path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


_workflow = _module("workflow_trees", HERE.parent / "workflow" / "conftest.py")
_cluster = _module("virtual_cluster", HERE / "cluster.py")
_module("virtual_faults", HERE / "faults.py")
planted, finished = _workflow.planted, _workflow.finished
fresh, end_group = _workflow.fresh, _workflow.end_group

ASK_OFTEN = ("--restem-slurm-init-seconds-before-status-checks", "2")
WITHOUT_CONTAINERS = "profiles/slurm-without-containers"
HURRY = ("--jobs", "3", "--latency-wait", "5", *ASK_OFTEN)
PROFILE = ("--profile", WITHOUT_CONTAINERS, *HURRY)


@pytest.fixture(scope="session")
def running_cluster() -> Iterator[Any]:
    """Bring a cluster up in a folder with a short name, for its sockets."""
    root = Path(tempfile.mkdtemp(prefix="restem-"))
    cluster = _cluster.Cluster(root)
    cluster.up()
    yield cluster
    cluster.down()
    shutil.rmtree(root)


@pytest.fixture
def cluster(running_cluster: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return the cluster, idle, with its commands first on PATH."""
    for name, value in running_cluster.environment.items():
        monkeypatch.setenv(name, value)
    yield running_cluster
    sys.modules["virtual_faults"].heal(running_cluster)
    for job in running_cluster.jobs():
        running_cluster.client("scancel", job)
    running_cluster.wait("idle nodes", running_cluster.idle)


@pytest.fixture(scope="session")
def cpu_image(running_cluster: Any) -> Image:
    """Build the image in the clone, unless it stands there: by the documented command, as a job."""
    image = Image("cpu", ROOT)
    if not (image.path.is_file() and image.record.is_file()):
        environment = {**os.environ, **running_cluster.environment, "PYTHONPATH": str(ROOT / "src")}
        environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
        command = "snakemake images --profile slurm --config 'images={torch: cpu}'"
        job = [
            "sbatch",
            "--wait",
            "--mem=4000",
            "--output",
            str(running_cluster.root / "image.log"),
        ]
        subprocess.run([*job, "--wrap", command], cwd=ROOT, env=environment, timeout=1800)
    if not image.path.is_file():
        raise AssertionError((running_cluster.root / "image.log").read_text()[-4000:])
    verified(image)
    return image


@pytest.fixture(scope="session")
def put_image(cpu_image: Image) -> Callable[[Any], None]:
    """Return a function that copies the image and its record into a tree."""

    def put(tree: Any) -> None:
        for source in (cpu_image.path, cpu_image.record):
            subprocess.run(["cp", "-p", str(source), str(tree.root / "containers")], check=True)

    return put


@pytest.fixture
def profile() -> tuple[str, ...]:
    """Return the arguments that submit, with short waits."""
    return PROFILE


@pytest.fixture
def submit() -> Callable[..., str]:
    """Return a function that runs a tree's study through a profile to its end."""

    def run(
        tree: Any, *arguments: str, fails: bool = False, profile: str = WITHOUT_CONTAINERS
    ) -> str:
        return str(tree.snakemake("--profile", profile, *HURRY, *arguments, fails=fails))

    return run


@pytest.fixture(scope="session")
def people_read() -> Callable[[Any], dict[str, bytes]]:
    """Return a function that reads every table and figure of a tree."""
    kinds = ("table.md", "table.csv", "*.svg", "*.pdf", "*.png")

    def read(tree: Any) -> dict[str, bytes]:
        files = (path for kind in kinds for path in tree.results.rglob(kind))
        shown = (path for path in files if ".restem" not in path.parts)
        return {str(path.relative_to(tree.results)): path.read_bytes() for path in shown}

    return read
