"""People who share a store make each artifact once, and never take one that is damaged."""

import multiprocessing
import os
import random
import time
from pathlib import Path
from typing import Any

import pytest

from restem.artifacts.seals import is_intact, parse_seal, read_seal
from restem.artifacts.sharing import STORE, Store, store
from restem.artifacts.store import produce
from restem.errors import RestemError
from tests.unit.artifacts.example_stage import RECIPE, ExampleStage

KILLS = 50


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a store that every process uses."""
    path = tmp_path / "store"
    path.mkdir()
    monkeypatch.setenv(STORE, str(path))
    return path


def person(tmp_path: Path, name: str) -> ExampleStage:
    (tmp_path / name).mkdir(exist_ok=True)
    return ExampleStage(tmp_path / name)


def test_the_second_person_takes_what_the_first_made(tmp_path: Path, folder: Path) -> None:
    ada, bob = person(tmp_path, "ada"), person(tmp_path, "bob")
    assert not ada.make()
    assert bob.make()
    assert bob.runs == 0
    assert bob.contents() == ada.contents()
    assert bob.edits() == []
    assert bob.make()  # restored from the kept copy


def test_nothing_is_taken_under_another_recipe(tmp_path: Path, folder: Path) -> None:
    from dataclasses import replace

    person(tmp_path, "ada").make()
    bob = person(tmp_path, "bob")
    assert not bob.make(replace(RECIPE, options={"shard": "2-of-2"}))


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "copies"])
def test_a_damaged_entry_is_refused_by_name_and_made_again(
    tmp_path: Path,
    folder: Path,
    links: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if not links:
        monkeypatch.setattr(os, "link", refuse)
    ada = person(tmp_path, "ada")
    ada.make()
    weights = Store(folder).entry(RECIPE.key) / "checkpoint/deep/model.bin"
    stat = weights.stat()
    weights.chmod(0o644)
    with weights.open("r+") as stream:
        stream.write("X")
    os.utime(weights, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    bob = person(tmp_path, "bob")
    assert not bob.make()
    assert f"refused {weights.parents[1]}: it does not match its seal" in capsys.readouterr().out
    assert bob.contents()[1] == "weights"
    assert person(tmp_path, "eve").make()


def refuse(*_: Any) -> None:
    raise OSError("no hard links here")


def test_a_store_that_is_missing_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(STORE, str(tmp_path / "absent"))
    with pytest.raises(RestemError, match="the shared store is missing"):
        store()


def _work(root: Path, log: Path) -> None:
    stage = ExampleStage(root)
    with produce(RECIPE, stage.outputs) as job:
        if not job.reused:
            time.sleep(0.02)
            stage.write(job)
            with log.open("a") as stream:
                stream.write("made\n")
    stage.delete()


def test_people_who_run_at_the_same_time_make_it_once(tmp_path: Path, folder: Path) -> None:
    log = tmp_path / "log"
    context = multiprocessing.get_context("fork")
    workers = [
        context.Process(target=_work, args=(person(tmp_path, f"p{number}").root, log))
        for number in range(6)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 6
    assert log.read_text() == "made\n"


def test_kills_leave_no_wrong_content(tmp_path: Path, folder: Path) -> None:
    """Two people work on the same artifact at a time; one of them is killed at some moment."""
    chance = random.Random(20240615)
    context = multiprocessing.get_context("fork")
    store_ = Store(folder)
    for kill in range(KILLS):
        workers = [
            context.Process(target=_work, args=(person(tmp_path, f"{name}{kill}").root,
                                                tmp_path / "log"))
            for name in "ab"
        ]  # fmt: skip
        for worker in workers:
            worker.start()
        time.sleep(chance.uniform(0, 0.08))
        workers[kill % 2].kill()
        for worker in workers:
            worker.join(60)
        assert workers[1 - kill % 2].exitcode == 0
        seal = parse_seal(store_.entry(RECIPE.key) / "seal.json")
        assert seal is not None
        for name, record in seal["outputs"].items():
            assert is_intact(store_.entry(RECIPE.key) / name, record, verify=True)
        stage = person(tmp_path, f"c{kill}")
        assert stage.make()
        own = read_seal(stage.file)
        assert own is not None and own["key"] == RECIPE.key
        if chance.random() < 0.5:  # begin again, with an empty store
            import shutil

            shutil.rmtree(store_.entry(RECIPE.key))
