"""The tiny study in a CPU image that the test builds, under a real SLURM and a real Apptainer."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from restem.deployment.images import Image, build, configure_apptainer, labels, verified

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]
IN_CPU_IMAGE = ("--config", "images={torch: cpu}")
CONTAINED = ("--software-deployment-method", "apptainer")


@pytest.fixture(scope="session")
def cpu_image() -> Image:
    """Build the image in the clone, unless it stands there as it was built."""
    image = Image("cpu", ROOT)
    if not (image.path.is_file() and image.record.is_file()):
        build(image, None, None)
    verified(image)
    return image


@pytest.fixture
def with_image(fresh: Any, cpu_image: Image) -> Any:
    """Return a fresh tree that holds the image."""
    for source in (cpu_image.path, cpu_image.record):
        subprocess.run(["cp", "-p", str(source), str(fresh.root / "containers")], check=True)
    return fresh


def check_its_sandbox(cpu_image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    """Probe every wall in the image; CI is root, who needs a user namespace for that."""
    for name in ("APPTAINER_FAKEROOT", "APPTAINER_BIND", "APPTAINER_NV"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    configure_apptainer(ROOT)
    check = ["python", "-m", "restem.cli", "sandbox", "check"]
    inside = ["apptainer", "exec", "--bind", str(ROOT), "--env", f"PYTHONPATH={ROOT / 'src'}"]
    done = subprocess.run([*inside, str(cpu_image.path), *check], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all walls hold" in done.stdout


def check_what_it_says(cpu_image: Image) -> None:
    """Compare the image's label and its packages with what it was built from."""
    assert labels(cpu_image.path)["restem.image"] == "cpu"
    packages = "import importlib.metadata as m; print(m.version('torch').split('+')[0])"
    command = ["apptainer", "exec", str(cpu_image.path), "python", "-c", packages]
    inside = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    here = subprocess.run([sys.executable, "-c", packages], capture_output=True, text=True).stdout
    assert inside == here


def test_an_image_is_what_it_says_and_a_study_in_it_gives_the_same_bytes(
    cluster: Any,
    cpu_image: Image,
    with_image: Any,
    finished: Any,
    people_read: Callable[[Any], dict[str, bytes]],
    submit: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check_what_it_says(cpu_image)  # one test, so that one worker builds
    check_its_sandbox(cpu_image, monkeypatch)
    told = submit(with_image, *CONTAINED, *IN_CPU_IMAGE)
    assert "Activating singularity image" in told
    assert people_read(with_image) == people_read(finished)
    logs = (with_image.root / ".snakemake/slurm_logs").rglob("*.log")
    assert all("Activating singularity image" in log.read_text() for log in logs)
    told = submit(with_image, *CONTAINED, *IN_CPU_IMAGE)
    assert "Nothing to be done" in told
