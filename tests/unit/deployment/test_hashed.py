"""uv and pip install only the files that were locked: envs/hashed.py."""

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from restem.artifacts.digests import file_digest
from restem.deployment import wheels
from restem.errors import RestemError
from tests.unit.deployment.test_wheels import PINS, index

__all__ = ["index"]
ROOT = Path(__file__).parents[3]


@pytest.fixture(params=["uv", "pip"])
def installer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name who installs: uv unless pip has a setting that uv does not know."""
    if request.param == "pip":
        monkeypatch.setenv("PIP_RETRIES", "1")
    return str(request.param)


@pytest.fixture
def script(index: Path, tmp_path: Path, installer: str) -> Path:
    """Return a copy of the script that knows one of the two wheels of the index."""
    copy = shutil.copy(ROOT / "envs" / "hashed.py", tmp_path / "hashed.py")
    wheel = index / "made_up-1.0-py3-none-any.whl"
    list_files(tmp_path, wheel.name, file_digest(wheel))
    (tmp_path / "lock.txt").write_text("# a lock\n" + "\n".join(PINS) + "\n")
    return Path(copy)


def list_files(folder: Path, name: str, *digests: str) -> None:
    lines = [f"{name}\t{digest}\t1\n" for digest in digests]
    (folder / "files.tsv").write_text("# file, sha256, bytes\n" + "".join(lines))


def install(script: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Install the lock into a folder, as the Makefile does."""
    target = script.parent / "installed"
    options = ["--quiet", "--no-deps", "--target", str(target)]
    options += ["-r", str(script.parent / "lock.txt")]
    command = [sys.executable, str(script), "install", *options]
    environment = {**os.environ, **variables}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def installers(script: Path) -> set[str]:
    """Return the programs that installed, as each package's folder says."""
    paths = (script.parent / "installed").glob("*.dist-info/INSTALLER")
    return {path.read_text().strip() for path in paths}


def installed(script: Path) -> set[str]:
    return {
        path.name.partition("-")[0] for path in (script.parent / "installed").glob("*.dist-info")
    }


def test_what_was_locked_is_installed_and_so_is_a_build_that_has_no_digest(
    script: Path, installer: str
) -> None:
    done = install(script)
    assert done.returncode == 0, done.stderr
    assert installed(script) == {"made_up", "another_one"}
    assert installers(script) == {installer}


def test_pip_takes_over_where_uv_fails(script: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    broken = tmp_path / "bin/uv"
    broken.write_text("#!/bin/sh\nexit 2\n")
    broken.chmod(0o755)
    done = install(script, PATH=f"{tmp_path}/bin:{os.environ['PATH']}")
    assert done.returncode == 0, done.stderr
    assert installed(script) == {"made_up", "another_one"}
    assert installers(script) == {"pip"}


def test_every_setting_of_pip_is_followed_or_left_to_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "envs")
    hashed = importlib.import_module("hashed")
    stated = {"index-url": "https://a/simple", "extra-index-url": "https://b https://c"}
    assert hashed.options_of_uv(stated, hashed=True)[2:] == [
        *("--default-index", "https://a/simple"),
        *("--index", "https://b", "--index", "https://c"),
    ]
    stated = {"constraint": "c.txt", "no-index": "1", "find-links": "d", "cert": "e"}
    assert hashed.options_of_uv(stated, hashed=False)[2:] == [
        *("--constraints", "c.txt", "--no-index", "--find-links", "d"),
    ]
    assert hashed.options_of_uv({"no-index": "false"}, hashed=True)[2:] == []
    assert hashed.options_of_uv({"client-cert": "f"}, hashed=True) is None
    monkeypatch.setenv("PIP_FIND_LINKS", "/of/the environment")
    assert hashed.settings_of_pip()["find-links"] == "/of/the environment"


def test_an_altered_wheel_is_refused(script: Path, index: Path) -> None:
    wheel = index / "made_up-1.0-py3-none-any.whl"
    with wheel.open("ab") as stream:
        stream.write(b"\0")
    done = install(script)
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert installed(script) == set()
    assert install(script, HASHES="no").returncode == 0  # an index that builds packages itself
    assert installed(script) == {"made_up", "another_one"}


def test_the_same_version_for_another_platform_is_admitted(script: Path, index: Path) -> None:
    wheel = index / "made_up-1.0-py3-none-any.whl"
    list_files(script.parent, wheel.name.replace("any", "linux_x86_64"), "0" * 64)
    assert install(script).returncode != 0
    list_files(script.parent, wheel.name, "0" * 64, file_digest(wheel))
    assert install(script).returncode == 0


def test_a_source_is_checked_unless_a_wheel_was_built_from_it_before(
    script: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A wheel that was built on some machine has a digest of its own."""
    list_files(script.parent, "made_up-1.0.tar.gz", "0" * 64)
    assert install(script).returncode == 0
    shutil.rmtree(tmp_path / "installed")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nowhere"))
    assert install(script, PIP_FIND_LINKS=str(tmp_path / "nowhere")).returncode != 0


def test_collected_wheels_are_those_that_were_locked(
    script: Path, index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheels, "HASHED", script)
    folder = tmp_path / "collected"
    wheels.collect(PINS, folder)
    [*found] = folder.iterdir()
    monkeypatch.setattr(wheels, "FILES", script.parent / "files.tsv")
    assert wheels.altered(found) == []
    wheel = index / "made_up-1.0-py3-none-any.whl"
    with wheel.open("ab") as stream:
        stream.write(b"\0")
    assert wheels.altered(index.iterdir()) == [wheel]
    with pytest.raises(RestemError, match="THESE PACKAGES DO NOT MATCH THE HASHES"):
        wheels.collect(PINS[:1], tmp_path / "others")


def test_the_index_is_asked_for_the_size_of_what_is_not_listed(
    script: Path, index: Path, installer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheels, "HASHED", script)
    monkeypatch.setattr(wheels, "FILES", script.parent / "files.tsv")
    wheels._size_in_index.cache_clear()
    size = (index / "another_one-2.0+cpu-py3-none-any.whl").stat().st_size
    assert wheels.size(PINS, "3.11") == (1 + size if installer == "uv" else None)
    assert wheels.size(["nowhere==1.0"], "3.11") is None
    wheels._size_in_index.cache_clear()


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_every_locked_version_has_digests_but_those_of_torch(python: str) -> None:
    pins = {pin for lock in (ROOT / "envs").glob("*.txt") for pin in wheels.pins(lock)}
    lacking = {pin.partition("==")[0] for pin in pins if wheels.listed_size(pin, python) is None}
    assert lacking == {"torch", "torchaudio", "torchvision"}
