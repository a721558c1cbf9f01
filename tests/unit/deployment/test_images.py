"""Errors name what containers lack: apptainer, fakeroot, the driver, the image, the right torch."""

import os
import shutil
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from restem.artifacts.files import read_json
from restem.config.load import load_study
from restem.deployment import images
from restem.deployment.containers import named_paths
from restem.deployment.images import Image
from restem.errors import RestemError

ROOT = Path(__file__).parents[3]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a folder with definitions and locks only."""
    for name in ("containers", "envs"):
        ignored = shutil.ignore_patterns("*.sif", "*.json", ".*")  # others may build there
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    return tmp_path


@pytest.mark.parametrize("name", ["cpu", "train", "sample"])
def test_a_definition_installs_only_locks_and_has_a_label_and_a_test(name: str) -> None:
    text = Image(name, ROOT).definition.read_text()
    assert f"restem.image {name}" in text
    assert "%test" in text
    assert all(lock.is_file() for lock in Image(name, ROOT).locks)
    assert "--no-index" in text
    assert "src" not in text.replace("$PWD/src", "")


def test_an_unknown_image_is_an_error_that_lists_the_known_ones(clone: Path) -> None:
    with pytest.raises(RestemError, match="cpu, sample, train"):
        _ = Image("cpus", clone).path


def test_a_lock_that_is_added_is_installed_and_gives_another_name(clone: Path) -> None:
    plain, added = Image("train", clone), Image("train", clone, ("smollm2", "training"))
    assert added.path != plain.path
    assert [lock.stem for lock in added.locks].count("training") == 1
    assert {lock.stem for lock in added.locks} - {lock.stem for lock in plain.locks} == {"smollm2"}
    assert added.text.replace(" -r envs/smollm2.txt", "") == plain.text
    with pytest.raises(RestemError, match="restem images build train --with smollm2"):
        images.verified(Image("train", clone, ("smollm2",)))
    with pytest.raises(RestemError, match="there is no such lock"):
        _ = Image("train", clone, ("smolm2",)).path


def test_an_image_that_is_not_built_is_an_error(clone: Path) -> None:
    with pytest.raises(RestemError, match="restem images build cpu"):
        images.verified(Image("cpu", clone))


def test_without_apptainer_nothing_is_built(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RestemError, match="apptainer is missing"):
        images.build(Image("cpu", clone), None, clone)


def test_without_fakeroot_nothing_is_built(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_spython", lambda: None)
    monkeypatch.setattr(images, "_subuids", lambda: ["somebody:1:2"])
    with pytest.raises(RestemError, match="fakeroot is not possible"):
        images.build(Image("cpu", clone), None, clone)


def test_apptainers_reason_for_a_failed_build_is_shown(
    clone: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    program = clone / "bin" / "singularity"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'FATAL: no such host' >&2\nexit 255\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setattr(images, "_check_tools", lambda bootstraps: None)
    with pytest.raises(RestemError, match="did not build"):
        images.build(Image("train", clone), None, clone)
    assert "FATAL: no such host" in "".join(capfd.readouterr())
    assert not list((clone / "containers").glob("*.sif"))


@pytest.mark.parametrize("name", ["cpu", "train", "sample"])
def test_from_debian_changes_nothing_but_the_base(
    clone: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    build_arguments: dict[str, Any] = {}

    monkeypatch.setenv("APPTAINER_FAKEROOT", "1")  # as in a run in containers by root

    def build(recipe: str, image: str, **others: Any) -> None:
        assert "APPTAINER_FAKEROOT" not in os.environ
        build_arguments.update(others, definition=Path(recipe).read_text())
        Path(image).touch()

    monkeypatch.setattr(images, "_spython", lambda: SimpleNamespace(build=build))
    monkeypatch.setattr(images, "_check_tools", lambda bootstraps: None)
    monkeypatch.setattr(images, "labels", lambda path: {})
    image = Image(name, clone, ("smollm2",))
    images.build(image, "http://mirror.invalid/debian", clone, from_debian=True)
    own_definition = image.text
    assert "Bootstrap: debootstrap" in build_arguments["definition"]
    assert "docker" not in build_arguments["definition"]
    for part in ("%post", "%environment", "%labels", "%test"):
        assert (
            build_arguments["definition"].partition(part)[2]
            == own_definition.partition(part)[2]
            != ""
        )
    assert "MIRROR=http://mirror.invalid/debian" in build_arguments["options"]
    assert read_json(image.record)["base"][0] == "Bootstrap: debootstrap"


@pytest.mark.parametrize(
    ("name", "requires", "build"),
    [("cpu", "nvidia-cudnn-cu13==9.20", "CPU"), ("train", "sympy", "CUDA"),
     ("sample", "sympy", "CUDA"), ("cpu", "sympy", None), ("train", "nvidia-nccl-cu13", None)],
)  # fmt: skip
def test_the_wrong_build_of_torch_is_refused_before_anything_is_built(
    clone: Path, monkeypatch: pytest.MonkeyPatch, name: str, requires: str, build: str | None
) -> None:
    with zipfile.ZipFile(clone / "torch-2.13.0-cp311-cp311-linux_x86_64.whl", "w") as wheel:
        wheel.writestr("torch-2.13.0.dist-info/METADATA", f"Requires-Dist: {requires}\n")
    client = SimpleNamespace(build=lambda recipe, image, **others: Path(image).touch())
    monkeypatch.setattr(images, "_spython", lambda: client)
    monkeypatch.setattr(images, "_check_tools", lambda bootstraps: None)
    monkeypatch.setattr(images, "labels", lambda path: {})
    image = Image(name, clone)
    if build is None:
        images.build(image, "file:///mirror", clone)
        assert image.path.is_file()
        return
    with pytest.raises(RestemError, match=f"is not torch's {build} build"):
        images.build(image, "file:///mirror", clone)
    assert not image.path.exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off"])
def test_a_truncated_wheel_is_named(
    clone: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    (clone / "torch-2.13.0-cp311-cp311-linux_x86_64.whl").write_bytes(content)
    monkeypatch.setattr(images, "_check_tools", lambda bootstraps: None)
    with pytest.raises(RestemError, match="the wheel cannot be read") as error:
        images.build(Image("train", clone), "file:///mirror", clone)
    assert "torch-2.13.0" in str(error.value)


def test_a_missing_driver_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    if Path("/proc/driver/nvidia/version").exists():
        assert "NVRM" in images.driver()
        return
    with pytest.raises(RestemError, match="no NVIDIA driver"):
        images.driver()


@pytest.fixture
def caches(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Name the caches that a container sees in any case."""
    for name in ("HF_HOME", "RESTEM_CACHE"):
        monkeypatch.setenv(name, str(clone / name))
    for name in ("HF_HUB_CACHE", "HF_DATASETS_CACHE", "RESTEM_STORE", "TMPDIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("caches")
@pytest.mark.parametrize(
    ("job", "gpus", "expected"), [("7", "0", "1"), ("7", "", None), ("7", None, None)]
)
def test_jobs_see_the_gpus_that_slurm_has_allocated(
    clone: Path, monkeypatch: pytest.MonkeyPatch, job: str, gpus: str | None, expected: str | None
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", job)
    monkeypatch.delenv("APPTAINER_NV", raising=False)
    monkeypatch.setenv("APPTAINER_BIND", "/scratch")
    if gpus is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)
    (clone / "data").symlink_to("/usr/share")
    monkeypatch.setenv("APPTAINER_FAKEROOT", "0")  # a user's own value is kept
    images.configure_apptainer(clone)
    assert images.os.environ["APPTAINER_FAKEROOT"] == "0"
    assert images.os.environ.get("APPTAINER_NV") == expected
    assert images.os.environ["APPTAINER_BIND"] == "/scratch,/usr/share"
    monkeypatch.delenv("APPTAINER_NV", raising=False)


@pytest.mark.usefixtures("caches")
@pytest.mark.parametrize(("user", "expected"), [(0, "1"), (1000, None)])
def test_root_gets_a_user_namespace_and_a_user_has_one(
    clone: Path, monkeypatch: pytest.MonkeyPatch, user: int, expected: str | None
) -> None:
    for name in ("APPTAINER_FAKEROOT", "APPTAINER_NV", "APPTAINER_BIND"):
        monkeypatch.setenv(name, "")  # so that the value is restored
        monkeypatch.delenv(name)
    monkeypatch.setattr(images.os, "geteuid", lambda: user)
    images.configure_apptainer(clone)
    assert images.os.environ.get("APPTAINER_FAKEROOT") == expected


@pytest.mark.usefixtures("caches")
def test_a_container_sees_all_that_its_jobs_read_and_write(
    clone: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container has another home, so a cache at home is named and bound."""
    outside = tmp_path_factory.mktemp("outside")
    for name in ("HF_HOME", "RESTEM_CACHE"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("APPTAINER_BIND", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(outside / "cache"))
    monkeypatch.setenv("TMPDIR", str(outside))
    (outside / "weights").mkdir()
    (outside / "model").symlink_to("weights")
    named = [outside / "model", outside / "absent", clone / "envs"]
    images.configure_apptainer(clone, named, create=False)
    assert not (outside / "cache").exists()  # a plan makes nothing
    images.configure_apptainer(clone, named)
    bound = os.environ["APPTAINER_BIND"].split(",")
    seen = [outside / place for place in ("model", "weights", "cache/huggingface", "cache/restem")]
    assert {*map(str, seen), str(outside)} == set(bound)
    assert os.environ["HF_HOME"] == str(outside / "cache/huggingface")
    for name in ("HF_HOME", "RESTEM_CACHE"):
        monkeypatch.setenv(name, "")  # so that they are restored


def test_folders_of_a_study_and_of_its_tracking_server_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = {"kind": "local", "directory": str(tmp_path)}
    study = load_study({"models": {"L": {"source": source}}}, ROOT / "config")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert named_paths(study) == [tmp_path]
    for uri, folder in (("sqlite:////a/b.db", "/a"), ("file:///a/b", "/a"), ("http://a/b", None)):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        assert named_paths(study) == [tmp_path, *([Path(folder)] if folder else [])]
