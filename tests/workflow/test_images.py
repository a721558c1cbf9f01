"""The row 'a container image' of the staleness table: nothing is stale, and every plan names it.

The stand-in for apptainer runs on the host what it is given; tests/cluster has the real one.
"""

import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest

from restem.artifacts.digests import file_digest
from restem.artifacts.files import write_json
from restem.deployment.images import Image

pytestmark = pytest.mark.workflow

PROBLEMS = "results/tiny/chain/problems/train.parquet"
CONTAINED = ("--software-deployment-method", "apptainer")
STAND_IN = """#!/bin/sh
if [ "$1" = --version ]; then echo "apptainer version 1.4.5"; exit; fi
while [ "$1" != sh ] && [ "$1" != bash ]; do last=$1; shift; done
echo "$last" >> used-images
APPTAINER_CONTAINER="$PWD/$last" exec "$@"
"""


@pytest.fixture
def contained(fresh: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a fresh tree with stand-ins for apptainer and for the images of the study."""
    program = fresh.root / "bin" / "apptainer"
    program.parent.mkdir()
    program.write_text(STAND_IN)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    for name in ("cpu", "train"):
        make(fresh.root, name, "built once")
    return fresh


def make(root: Path, name: str, content: str) -> Path:
    """Put a file where an image is expected, and record it as the builder does."""
    image = Image(name, root)
    image.path.write_text(content)
    seen = [image.path.stat().st_size, image.path.stat().st_mtime_ns]
    write_json(image.record, {"sha256": file_digest(image.path), "seen": seen})
    return image.path


def test_an_image_makes_nothing_stale_and_every_plan_names_it(contained: Any) -> None:
    contained.snakemake("--cores", "2", PROBLEMS, *CONTAINED)
    image = Image("cpu", contained.root).path
    used = (contained.root / "used-images").read_text().split()
    assert used == [str(image.relative_to(contained.root))]
    told = contained.snakemake("-n", PROBLEMS, *CONTAINED)
    assert "Nothing to be done" in told
    assert "container images: " not in told
    assert f"made in {image.stem} (sha256 " in contained.restem("show", PROBLEMS).stdout
    told = contained.snakemake("-n", PROBLEMS)
    assert "Nothing to be done" in told
    assert f"container images: 1 artifact was made in {image.stem} (sha256 " in told
    assert "a run now would make it outside images. They stay; delete them" in told
    make(contained.root, "cpu", "built again")
    told = contained.snakemake("-n", PROBLEMS, *CONTAINED)
    assert "Nothing to be done" in told
    assert f"a run now would make it in {image.stem} (sha256 " in told
    told = contained.restem("plan", PROBLEMS, "--configfile", "study.yaml").stdout
    assert "a run now would make it outside images" in told


def test_what_was_made_outside_images_stays_in_them(contained: Any) -> None:
    contained.snakemake("--cores", "2", PROBLEMS)
    assert "made outside images" in contained.restem("show", PROBLEMS).stdout
    told = contained.snakemake("--cores", "2", PROBLEMS, *CONTAINED)
    assert "Nothing to be done" in told
    assert "container images: 1 artifact was made outside images, a run now would" in told
    assert not (contained.root / "used-images").exists()


def test_an_image_without_the_packages_of_the_lock_is_refused_by_the_job(contained: Any) -> None:
    """The image is no part of a recipe, so what is in it is compared with what is."""
    lock = contained.root / "envs" / "data.txt"
    lock.write_text(f"{lock.read_text()}pyarrow-of-tomorrow==1.0\n")
    make(contained.root, "cpu", "built without it")
    told = contained.snakemake("--cores", "2", PROBLEMS, *CONTAINED, fails=True)
    assert "does not hold the packages of envs/data.txt: pyarrow-of-tomorrow 1.0 is missing" in told
    assert "Traceback" not in told
    assert not (contained.root / PROBLEMS).exists()


def test_a_lock_asks_for_an_image_of_another_name(contained: Any) -> None:
    before = Image("cpu", contained.root).path
    lock = contained.root / "envs" / "report.txt"
    lock.write_text(f"{lock.read_text()}another==1.0\n")
    assert Image("cpu", contained.root).path != before
    told = contained.snakemake("--cores", "2", PROBLEMS, *CONTAINED, fails=True)
    assert "container images are not built" in told
    assert "snakemake images --cores 1 --configfile study.yaml" in told


def test_a_plan_needs_no_images_and_says_which_are_missing(
    contained: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a login node before anything is built, with the profile as a person gives it."""
    missing = [Image(name, contained.root).path for name in ("cpu", "train")]
    for path in missing:
        path.unlink()
    (contained.root / "bin" / "apptainer").unlink()
    for name in ("which", "sh", "bash"):  # all that Snakemake needs of a system
        (contained.root / "bin" / name).symlink_to(str(shutil.which(name)))
    monkeypatch.setenv("PATH", str(contained.root / "bin"))
    hint = "snakemake images --profile slurm --config 'seeds=[0]' --configfile study.yaml"
    options = ("--profile", "slurm", "--config", "seeds=[0]")
    planned = contained.snakemake("-n", *options)
    assert "draw_samples" in planned
    [line] = [line for line in planned.splitlines() if "images are not built" in line]
    assert line.endswith(hint)
    assert all(path.name in line for path in missing)
    assert "apptainer is missing" in planned
    told = contained.restem("plan", "--profile", "slurm", "--configfile", "study.yaml")
    assert "snakemake images --profile slurm --configfile study.yaml" in told.stdout, told.stderr
    assert "Traceback" not in planned + told.stderr
    assert not (contained.root / ".snakemake" / "log").exists()


def test_missing_images_are_built_by_the_profile_that_needs_them(contained: Any) -> None:
    Image("cpu", contained.root).path.unlink()
    planned = contained.plan("images", *CONTAINED)
    assert {Path(job.output).name for job in planned.jobs} == {
        Image("cpu", contained.root).path.name
    }


def test_comments_ask_for_no_other_image(contained: Any) -> None:
    before = Image("cpu", contained.root).path
    for path in (contained.root / "envs" / "report.txt", contained.root / "containers" / "cpu.def"):
        path.write_text(f"# a comment\n{path.read_text()}")
    assert Image("cpu", contained.root).path == before


def test_an_altered_image_is_refused(contained: Any) -> None:
    Image("cpu", contained.root).path.write_text("built ounce")
    assert "the image is not what was built" in contained.snakemake("-n", PROBLEMS, *CONTAINED)
    told = contained.snakemake("--cores", "2", PROBLEMS, *CONTAINED, fails=True)
    assert "the image is not what was built" in told
    assert "Traceback" not in told


def test_a_copied_image_is_accepted(contained: Any) -> None:
    """Copying changes the time of a file, not its content."""
    os.utime(Image("cpu", contained.root).path, (1, 1))
    told = contained.snakemake("-n", PROBLEMS, *CONTAINED)
    assert PROBLEMS in told
    assert "image" not in told.partition("Building DAG")[2]


def test_images_are_not_needed_without_containers(contained: Any) -> None:
    Image("cpu", contained.root).path.unlink()
    told = contained.snakemake("-n", PROBLEMS)
    assert PROBLEMS in told
    assert "not built" not in told
