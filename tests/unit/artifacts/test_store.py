"""An artifact is made once, restored if nothing changed, and made again if something did."""

import multiprocessing
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from restem.artifacts.files import write_text
from restem.artifacts.seals import HIDDEN, Recipe, read_seal
from restem.artifacts.store import RECOMPUTE, produce
from restem.errors import RestemError
from tests.unit.artifacts.example_stage import RECIPE, ExampleStage

# ---- restored, or made again ----


def test_deleted_outputs_are_restored_when_nothing_changed(
    stage: ExampleStage, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not stage.make()
    before = stage.contents()
    assert stage.make()
    assert stage.contents() == before
    assert stage.runs == 1
    assert f"reused {stage.file}" in capsys.readouterr().out


def test_existing_outputs_are_left_alone(stage: ExampleStage) -> None:
    stage.make()
    inode = stage.weights.stat().st_ino
    assert stage.make(deleted=False)
    assert stage.weights.stat().st_ino == inode


def test_outputs_are_restored_again_and_again(stage: ExampleStage) -> None:
    stage.make()
    assert [stage.make() for _ in range(3)] == [True] * 3


CHANGED: dict[str, Recipe] = {
    "settings": replace(RECIPE, settings={**RECIPE.settings, "task": "story"}),
    "a nested setting": replace(
        RECIPE, settings={**RECIPE.settings, "reward": {"extraction": "flexible"}}
    ),
    "a new setting": replace(RECIPE, settings={**RECIPE.settings, "seed": None}),
    "code": replace(RECIPE, code={**RECIPE.code, "restem.artifacts.tables": "0ther"}),
    "another module": replace(RECIPE, code={**RECIPE.code, "restem.errors": "1"}),
    "environment": replace(RECIPE, environment="other"),
    "an input's content": replace(RECIPE, inputs={**RECIPE.inputs, "samples": ["5b"]}),
    "the order of inputs": replace(RECIPE, inputs={**RECIPE.inputs, "problems": ["9c", "9b"]}),
    "another input": replace(RECIPE, inputs={**RECIPE.inputs, "samples": ["5a", "5b"]}),
    "an option": replace(RECIPE, options={"shard": "2-of-2"}),
    "an input's name": replace(RECIPE, inputs={"completions": ["5a"], "problems": ["9b", "9c"]}),
    "stage": replace(RECIPE, stage="metrics"),
}


@pytest.mark.parametrize("what", CHANGED)
def test_outputs_are_made_again_after_a_change_of(stage: ExampleStage, what: str) -> None:
    stage.make()
    assert not stage.make(CHANGED[what])
    assert stage.runs == 2
    assert stage.make(CHANGED[what])
    assert not stage.make(RECIPE)


def test_the_order_of_keys_does_not_matter(stage: ExampleStage) -> None:
    stage.make()
    reordered = {"task": "chain", "reward": {"extraction": "strict"}}
    assert stage.make(
        replace(
            RECIPE,
            settings=reordered,
            code=dict(reversed(RECIPE.code.items())),
            inputs=dict(reversed(RECIPE.inputs.items())),
        )
    )


def test_restem_recompute_makes_everything_again(
    stage: ExampleStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.make()
    monkeypatch.setenv(RECOMPUTE, "1")
    assert not stage.make()
    monkeypatch.delenv(RECOMPUTE)
    assert stage.make()
    assert stage.runs == 2


def test_outputs_with_other_names_are_made_again(stage: ExampleStage) -> None:
    stage.make()
    with produce(RECIPE, {"policy": stage.file}) as job:
        assert not job.reused
        stage.write(job)


def test_an_empty_folder_is_restored(stage: ExampleStage) -> None:
    """Because a halted policy has an empty checkpoint."""
    for expected in (False, True):
        stage.delete()
        with produce(RECIPE, stage.outputs) as job:
            assert job.reused == expected
            if not job.reused:
                write_text(stage.file, "{}")
                stage.outputs["checkpoint"].mkdir()
        assert stage.outputs["checkpoint"].is_dir()
    stage.outputs["checkpoint"].rmdir()
    assert stage.edits()


def test_outputs_are_made_again_without_a_kept_copy(stage: ExampleStage) -> None:
    stage.make()
    shutil.rmtree(stage.root / HIDDEN / "policy.json.kept")
    assert not stage.make()
    assert stage.runs == 2


@pytest.mark.parametrize("text", ["", "{", "[]", '{"key": 1}'], ids=repr)
def test_outputs_are_made_again_without_a_readable_seal(stage: ExampleStage, text: str) -> None:
    stage.make()
    (stage.root / HIDDEN / "policy.json.seal.json").write_text(text)
    assert read_seal(stage.file) is None
    assert not stage.make()
    assert stage.make()


def test_a_stage_with_effects_outside_its_outputs_runs_every_time(tmp_path: Path) -> None:
    recipe = Recipe("tracking", {}, {}, "unlocked", {})
    output = tmp_path / "published.json"
    for _ in range(2):
        with produce(recipe, {"published": output}, reuse=False) as job:
            assert not job.reused
            output.write_text("{}")


# ---- sealing ----


def test_a_failing_body_seals_nothing(stage: ExampleStage) -> None:
    with pytest.raises(ZeroDivisionError), produce(RECIPE, stage.outputs) as job:
        stage.write(job)
        raise ZeroDivisionError
    assert read_seal(stage.file) is None
    assert not stage.make(deleted=False)


def test_a_failing_body_leaves_the_old_seal_valid(stage: ExampleStage) -> None:
    stage.make()
    other = CHANGED["settings"]
    with pytest.raises(ZeroDivisionError), produce(other, stage.outputs):
        raise ZeroDivisionError
    assert stage.make()


def test_an_output_that_was_not_made_is_named(stage: ExampleStage) -> None:
    with pytest.raises(RestemError, match="checkpoint"), produce(RECIPE, stage.outputs):
        write_text(stage.file, "{}")
    assert read_seal(stage.file) is None


def test_the_seal_records_recipe_outputs_and_notes(stage: ExampleStage) -> None:
    with produce(RECIPE, stage.outputs) as job:
        stage.write(job)
        job.notes["sampled"] = 3
    seal = read_seal(stage.file)
    assert seal is not None
    assert seal["settings"] == RECIPE.settings
    assert seal["code"] == RECIPE.code
    assert seal["inputs"] == RECIPE.inputs
    assert seal["notes"].items() >= {"sampled": 3, "gpus": 0}.items()
    assert seal["notes"]["cpu_seconds"] >= 0
    assert seal["key"] == RECIPE.key
    assert set(seal["outputs"]) == {"policy", "checkpoint"}


def test_restoring_keeps_the_recorded_run_time(stage: ExampleStage) -> None:
    with produce(RECIPE, stage.outputs) as job:
        stage.write(job)
        time.sleep(0.05)
    seal = read_seal(stage.file)
    stage.make()
    renewed = read_seal(stage.file)
    assert seal is not None and renewed is not None
    assert renewed["seconds"] == seal["seconds"] >= 0.05


def test_kept_copies_take_no_space(stage: ExampleStage) -> None:
    stage.make()
    kept = stage.root / HIDDEN / "policy.json.kept/checkpoint/deep/model.bin"
    assert kept.stat().st_ino == stage.weights.stat().st_ino
    assert stage.make()
    assert kept.stat().st_ino == stage.weights.stat().st_ino


def test_without_hard_links_existing_outputs_are_still_reused(
    stage: ExampleStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError("no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    assert not stage.make()
    assert not stage.make()
    assert stage.make(deleted=False)


# ---- the lock ----


def _work(root: Path, started: Any, log: Path) -> None:
    stage = ExampleStage(root)
    with produce(RECIPE, stage.outputs) as job:
        if not job.reused:
            started.set()
            time.sleep(0.5)
            stage.write(job)
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
    stage = ExampleStage(root)
    assert stage.make(deleted=False)
    assert stage.runs == 0
    first.join(30)
    assert log.read_text() == "False\n"
    assert stage.file.exists()


def test_a_process_that_was_killed_holds_no_lock(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    started = context.Event()
    stage = ExampleStage(tmp_path)
    process = context.Process(target=_work, args=(tmp_path, started, tmp_path / "log"))
    process.start()
    assert started.wait(30)
    process.kill()
    process.join(30)
    assert not stage.make()


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_outputs_have_the_mode_of_any_new_file(stage: ExampleStage, umask: int) -> None:
    """safetensors writes weights that only their owner can read."""
    before = os.umask(umask)
    try:
        with produce(RECIPE, stage.outputs) as job:
            stage.write(job)
            stage.weights.chmod(0o600)
    finally:
        os.umask(before)
    assert stage.weights.stat().st_mode & 0o777 == 0o666 & ~umask
    assert stage.edits() == []
