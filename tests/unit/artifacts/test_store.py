"""An artifact is made once, put back while nothing changed, and made again when something did."""

import multiprocessing
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from restem.artifacts.store import (
    HIDDEN,
    RECOMPUTE,
    Recipe,
    mark_damaged,
    produce,
    read_seal,
    remakes,
    write_text,
)
from restem.errors import RestemError
from tests.unit.artifacts.bench import RECIPE, Bench

# ---- put back, or made again ----


def test_deleted_outputs_are_put_back_when_nothing_changed(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not bench.make()
    before = bench.contents()
    assert bench.make()
    assert bench.contents() == before
    assert bench.made == 1
    assert f"reused {bench.file}" in capsys.readouterr().out


def test_outputs_that_still_stand_are_left_where_they_are(bench: Bench) -> None:
    bench.make()
    inode = bench.weights.stat().st_ino
    assert bench.make(deleted=False)
    assert bench.weights.stat().st_ino == inode


def test_what_is_put_back_is_newer_than_its_inputs(bench: Bench) -> None:
    bench.make()
    for path in (bench.file, bench.weights):
        os.utime(path, (1, 1))
    started = time.time() - 1
    assert bench.make()
    assert min(bench.file.stat().st_mtime, bench.weights.stat().st_mtime) > started


def test_outputs_are_put_back_again_and_again(bench: Bench) -> None:
    bench.make()
    assert [bench.make() for _ in range(3)] == [True] * 3


CHANGED: dict[str, Recipe] = {
    "settings": replace(RECIPE, settings={**RECIPE.settings, "task": "story"}),
    "a nested setting": replace(
        RECIPE, settings={**RECIPE.settings, "reward": {"policy": "flexible"}}
    ),
    "a new setting": replace(RECIPE, settings={**RECIPE.settings, "seed": None}),
    "code": replace(RECIPE, code={**RECIPE.code, "restem.artifacts.tables": "0ther"}),
    "another module": replace(RECIPE, code={**RECIPE.code, "restem.errors": "1"}),
    "environment": replace(RECIPE, environment="other"),
    "an input's content": replace(RECIPE, inputs={**RECIPE.inputs, "samples": ["5b"]}),
    "the order of inputs": replace(RECIPE, inputs={**RECIPE.inputs, "problems": ["9c", "9b"]}),
    "one input more": replace(RECIPE, inputs={**RECIPE.inputs, "samples": ["5a", "5b"]}),
    "an input's name": replace(RECIPE, inputs={"drawn": ["5a"], "problems": ["9b", "9c"]}),
    "stage": replace(RECIPE, stage="metrics"),
}


@pytest.mark.parametrize("what", CHANGED)
def test_outputs_are_made_again_with_another(bench: Bench, what: str) -> None:
    bench.make()
    assert not bench.make(CHANGED[what])
    assert bench.made == 2
    assert bench.make(CHANGED[what])
    assert not bench.make(RECIPE)


def test_the_order_of_keys_is_no_change(bench: Bench) -> None:
    bench.make()
    turned = {"task": "chain", "reward": {"policy": "strict"}}
    assert bench.make(
        replace(
            RECIPE,
            settings=turned,
            code=dict(reversed(RECIPE.code.items())),
            inputs=dict(reversed(RECIPE.inputs.items())),
        )
    )


def test_restem_recompute_makes_everything_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.make()
    monkeypatch.setenv(RECOMPUTE, "1")
    assert not bench.make()
    monkeypatch.delenv(RECOMPUTE)
    assert bench.make()
    assert bench.made == 2


def test_outputs_of_other_names_are_made(bench: Bench) -> None:
    bench.make()
    with produce(RECIPE, {"policy": bench.file}) as job:
        assert not job.reused
        bench.write(job)


def test_an_empty_folder_is_put_back(bench: Bench) -> None:
    """A halted policy has an empty checkpoint."""
    for expected in (False, True):
        bench.delete()
        with produce(RECIPE, bench.outputs) as job:
            assert job.reused == expected
            if not job.reused:
                write_text(bench.file, "{}")
                bench.outputs["checkpoint"].mkdir()
        assert bench.outputs["checkpoint"].is_dir()
    bench.outputs["checkpoint"].rmdir()
    assert mark_damaged(bench.root) == [bench.file]


def test_a_missing_kept_copy_means_work_not_failure(bench: Bench) -> None:
    bench.make()
    shutil.rmtree(bench.root / HIDDEN / "policy.json.kept")
    assert not bench.make()
    assert bench.made == 2


@pytest.mark.parametrize("text", ["", "{", "[]", '{"key": 1}'], ids=repr)
def test_a_damaged_seal_means_work_not_failure(bench: Bench, text: str) -> None:
    bench.make()
    (bench.root / HIDDEN / "policy.json.seal.json").write_text(text)
    assert mark_damaged(bench.root) == []
    assert remakes(bench.file) == 0
    assert not bench.make()
    assert bench.make()


def test_a_stage_that_acts_outside_runs_every_time(tmp_path: Path) -> None:
    recipe = Recipe("tracking", {}, {}, "unlocked", {})
    output = tmp_path / "published.json"
    for _ in range(2):
        with produce(recipe, {"published": output}, reuse=False) as job:
            assert not job.reused
            output.write_text("{}")


# ---- sealing ----


def test_a_failing_body_seals_nothing(bench: Bench) -> None:
    with pytest.raises(ZeroDivisionError), produce(RECIPE, bench.outputs) as job:
        bench.write(job)
        raise ZeroDivisionError
    assert read_seal(bench.file) is None
    assert not bench.make(deleted=False)


def test_a_failing_body_leaves_the_old_seal_for_the_old_recipe(bench: Bench) -> None:
    bench.make()
    other = CHANGED["settings"]
    with pytest.raises(ZeroDivisionError), produce(other, bench.outputs):
        raise ZeroDivisionError
    assert bench.make()


def test_an_output_that_was_not_made_is_an_error_that_names_it(bench: Bench) -> None:
    with pytest.raises(RestemError, match="checkpoint"), produce(RECIPE, bench.outputs):
        write_text(bench.file, "{}")
    assert read_seal(bench.file) is None


def test_the_seal_says_what_was_made_from_what(bench: Bench) -> None:
    with produce(RECIPE, bench.outputs) as job:
        bench.write(job)
        job.notes["drawn"] = 3
    seal = read_seal(bench.file)
    assert seal is not None
    assert seal["settings"] == RECIPE.settings
    assert seal["code"] == RECIPE.code
    assert seal["inputs"] == RECIPE.inputs
    assert seal["notes"].items() >= {"drawn": 3, "gpus": 0}.items()
    assert seal["notes"]["cpu_seconds"] >= 0
    assert seal["key"] == RECIPE.key
    assert set(seal["outputs"]) == {"policy", "checkpoint"}


def test_a_put_back_keeps_what_the_first_making_cost(bench: Bench) -> None:
    with produce(RECIPE, bench.outputs) as job:
        bench.write(job)
        time.sleep(0.05)
    first = read_seal(bench.file)
    bench.make()
    again = read_seal(bench.file)
    assert first is not None and again is not None
    assert again["seconds"] == first["seconds"] >= 0.05


def test_kept_copies_cost_no_space(bench: Bench) -> None:
    bench.make()
    kept = bench.root / HIDDEN / "policy.json.kept/checkpoint/deep/model.bin"
    assert kept.stat().st_ino == bench.weights.stat().st_ino
    assert bench.make()
    assert kept.stat().st_ino == bench.weights.stat().st_ino


def test_without_hard_links_everything_but_the_reuse_works(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError("no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    assert not bench.make()
    assert not bench.make()
    assert bench.make(deleted=False)


# ---- the lock ----


def _work(root: Path, started: Any, log: Path) -> None:
    bench = Bench(root)

    with produce(RECIPE, bench.outputs) as job:
        if not job.reused:
            started.set()
            time.sleep(0.5)
            bench.write(job)
        with log.open("a") as stream:
            stream.write(f"{job.reused}\n")


def test_a_second_process_waits_and_then_reuses(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    started, log = context.Event(), tmp_path / "log"
    root = tmp_path / "out"
    root.mkdir()
    first = context.Process(target=_work, args=(root, started, log))
    first.start()
    assert started.wait(30)
    bench = Bench(root)
    assert bench.make(deleted=False)
    assert bench.made == 0
    first.join(30)
    assert log.read_text() == "False\n"
    assert bench.file.exists()


def test_a_process_that_was_killed_holds_no_lock(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    started = context.Event()
    bench = Bench(tmp_path)
    process = context.Process(target=_work, args=(tmp_path, started, tmp_path / "log"))
    process.start()
    assert started.wait(30)
    process.kill()
    process.join(30)
    assert not bench.make()
