"""The row 'a container image' of the staleness table: reported; a new digest, never silent.

The stand-in for apptainer runs on the host what it is given; tests/cluster has the real one.
"""

import os
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
exec "$@"
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


def test_a_new_image_makes_stale_what_runs_in_it_and_says_so(contained: Any) -> None:
    contained.snakemake("--cores", "2", PROBLEMS, *CONTAINED)
    used = (contained.root / "used-images").read_text().split()
    assert used == [str(Image("cpu", contained.root).path.relative_to(contained.root))]
    assert "Nothing to be done" in contained.snakemake("-n", PROBLEMS, *CONTAINED)
    make(contained.root, "train", "built again")
    assert "Nothing to be done" in contained.snakemake("-n", PROBLEMS, *CONTAINED)
    make(contained.root, "cpu", "built again")
    [job] = contained.plan(PROBLEMS, *CONTAINED).jobs
    assert job.output == PROBLEMS
    told = contained.restem("plan", PROBLEMS, "--images", "--configfile", "study.yaml").stdout
    assert "container image changed: " in told


def test_a_lock_asks_for_an_image_of_another_name(contained: Any) -> None:
    before = Image("cpu", contained.root).path
    lock = contained.root / "envs" / "report.txt"
    lock.write_text(f"{lock.read_text()}another==1.0\n")
    assert Image("cpu", contained.root).path != before
    told = contained.snakemake("-n", PROBLEMS, *CONTAINED, fails=True)
    assert "the image is not built" in told
    assert "snakemake images --cores 1 --configfile study.yaml" in told


def test_comments_ask_for_no_other_image(contained: Any) -> None:
    before = Image("cpu", contained.root).path
    for path in (contained.root / "envs" / "report.txt", contained.root / "containers" / "cpu.def"):
        path.write_text(f"# a comment\n{path.read_text()}")
    assert Image("cpu", contained.root).path == before


def test_an_altered_image_is_refused(contained: Any) -> None:
    Image("cpu", contained.root).path.write_text("built ounce")
    told = contained.snakemake("-n", PROBLEMS, *CONTAINED, fails=True)
    assert "the image is not what was built" in told
    assert "Traceback" not in told


def test_a_copied_image_is_accepted(contained: Any) -> None:
    """Copying changes the time of a file, not its content."""
    os.utime(Image("cpu", contained.root).path, (1, 1))
    assert PROBLEMS in contained.snakemake("-n", PROBLEMS, *CONTAINED)


def test_images_are_not_needed_without_containers(contained: Any) -> None:
    Image("cpu", contained.root).path.unlink()
    assert PROBLEMS in contained.snakemake("-n", PROBLEMS)
