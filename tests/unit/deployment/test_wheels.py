"""Wheels of locks are collected once, whole or not at all, and what is wrong is said."""

import zipfile
from pathlib import Path

import pytest

from restem.deployment import wheels
from restem.errors import RestemError

PINS = ["made-up==1.0", "Another.One==2.0"]


def write(folder: Path, name: str, version: str) -> Path:
    """Write a wheel that pip takes."""
    folder.mkdir(exist_ok=True)
    stem = f"{name}-{version}"
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        archive.writestr(f"{stem}.dist-info/METADATA", metadata)
        tags = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        archive.writestr(f"{stem}.dist-info/WHEEL", tags)
        archive.writestr(f"{stem}.dist-info/RECORD", "")
    return path


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that pip takes for its index."""
    folder = tmp_path / "index"
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    write(folder, "made_up", "1.0")
    write(folder, "another_one", "2.0+cpu")
    return folder


@pytest.mark.parametrize("python", [wheels.HERE, "3.99"])
def test_wheels_are_collected_for_the_python_that_installs_them(
    index: Path, tmp_path: Path, python: str
) -> None:
    folder = tmp_path / "wheels"
    assert wheels.find(PINS, folder) == dict.fromkeys(PINS)
    wheels.collect(PINS, folder, python)
    found = wheels.find(PINS, folder)
    assert [path.name.partition("-py3")[0] for path in found.values() if path] == [
        "made_up-1.0",
        "another_one-2.0+cpu",
    ]
    assert len(list(folder.iterdir())) == 2


def test_a_wheel_that_is_cut_off_or_of_another_version_does_not_count(index: Path) -> None:
    assert None not in wheels.find(PINS, index).values()
    assert wheels.find(["made-up==1.0.1"], index) == {"made-up==1.0.1": None}
    path = index / "made_up-1.0-py3-none-any.whl"
    path.write_bytes(path.read_bytes()[:-10])
    assert wheels.find(PINS[:1], index) == {PINS[0]: None}


def test_what_pip_cannot_collect_is_named_and_leaves_nothing(
    index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RestemError, match=r"absent==1\.0 for Python .*No matching distribution"):
        wheels.collect(["absent==1.0"], tmp_path / "wheels")
    assert "ERROR" in capsys.readouterr().err
    with pytest.raises(RestemError, match="2 locked packages"):
        wheels.collect(["made-up==1.0", "absent==1.0"], tmp_path / "wheels")
    assert not list((tmp_path / "wheels").iterdir())
