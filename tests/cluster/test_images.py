"""The tiny study in a CPU image that the test builds, under a real SLURM and a real Apptainer."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from restem.artifacts.container import image_label
from restem.artifacts.seals import seals
from restem.deployment.images import Image, configure_apptainer, labels

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]
IN_CPU_IMAGE = ("--config", "images={torch: cpu}")


@pytest.fixture
def with_image(fresh: Any, put_image: Callable[[Any], None]) -> Any:
    """Return a fresh tree that holds the image."""
    put_image(fresh)
    return fresh


def check_its_sandbox(cpu_image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    """Probe every wall in the image; CI is root, who needs a user namespace for that."""
    for name in ("APPTAINER_FAKEROOT", "APPTAINER_BIND", "APPTAINER_NV"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    configure_apptainer(ROOT)
    command = sandbox_check(cpu_image.path, ROOT)
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all walls hold" in done.stdout


def sandbox_check(image: Path, root: Path) -> list[str]:
    """Return the command that probes every wall in an image."""
    inside = ["apptainer", "exec", "--bind", str(root), "--env", f"PYTHONPATH={root / 'src'}"]
    return [*inside, str(image), "python", "-m", "restem.cli", "sandbox", "check"]


def check_for_an_ordinary_user(cpu_image: Image) -> None:
    """Probe the walls as somebody without any rights; the clone may be closed to him."""
    ids = ("--reuid", "nobody", "--regid", "nogroup", "--clear-groups")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        shutil.copytree(ROOT / "src", home / "src")
        image = Path(shutil.copy2(cpu_image.path, home))
        shutil.chown(home, "nobody", "nogroup")
        environment = {"HOME": folder, "USER": "nobody", "PATH": os.environ["PATH"]}
        command = ["setpriv", *ids, *sandbox_check(image, home)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=home, env=environment)
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
    check_for_an_ordinary_user(cpu_image)
    told = submit(with_image, *IN_CPU_IMAGE, profile="slurm")
    assert "Activating singularity image" in told
    assert people_read(with_image) == people_read(finished)
    logs = (with_image.root / ".snakemake/slurm_logs").rglob("*.log")
    assert all("Activating singularity image" in log.read_text() for log in logs)
    assert {seal["image"] for _, seal in seals(with_image.results)} == {image_label(cpu_image.path)}
    told = submit(with_image, *IN_CPU_IMAGE, profile="slurm")
    assert "Nothing to be done" in told
    assert "container images: " not in told
    told = submit(with_image)  # without containers
    assert "Nothing to be done" in told
    assert "They stay; delete them to make them again" in told
    told = submit(with_image, "--forcerun", "measure_overlap", *IN_CPU_IMAGE, profile="slurm")
    assert "reused" in told
    lock = with_image.root / "envs/data.txt"  # the image of this name does not have it
    lock.write_text(f"{lock.read_text()}a-package-of-tomorrow==1.0\n")
    for source in (cpu_image.path, cpu_image.record):
        later = Image("cpu", with_image.root)
        target = later.path if source.suffix == ".sif" else later.record
        subprocess.run(["cp", "-p", str(source), str(target)], check=True)
    overlap = "results/tiny/overlap.parquet"
    told = submit(with_image, overlap, *IN_CPU_IMAGE, "--retries", "0", profile="slurm", fails=True)
    assert "does not hold the packages of envs/data.txt: a-package-of-tomorrow 1.0 is missi" in told


def test_images_are_built_by_the_profile_that_needs_them(
    cluster: Any, fresh: Any, submit: Callable[..., str]
) -> None:
    """The command of the message, as it is: a cluster's profile states no cores."""
    told = submit(fresh, *IN_CPU_IMAGE, profile="slurm", fails=True)
    assert "container images are not built" in told
    advice = "snakemake images --profile slurm --config 'images={torch: cpu}' --configfile study.ya"
    assert advice in told
    program = fresh.root / "bin" / "restem"
    program.parent.mkdir()
    image = Image("cpu", fresh.root)  # built by a stand-in; cpu_image shows the real builder
    program.write_text(f"#!/bin/sh\necho $@ >> built\ntouch {image.path} {image.record}\n")
    program.chmod(0o755)
    path = f"{program.parent}:{fresh.environment['PATH']}"
    fresh.variables = {"PATH": path}
    fresh.snakemake("images", "--profile", "slurm", *IN_CPU_IMAGE)
    assert (fresh.root / "built").read_text() == "images build cpu\n"
    assert "Nothing to be done" in fresh.snakemake("images", "--profile", "slurm", *IN_CPU_IMAGE)
