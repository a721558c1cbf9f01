"""Edits, replacements and deletions of an artifact are noticed, each once."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from restem.artifacts.store import (
    HIDDEN,
    count_remakes,
    delete_unused_copies,
    mark_damaged,
    produce,
)
from tests.unit.artifacts.example_stage import RECIPE, ExampleStage


def edit_in_place(path: Path) -> None:
    """Write into the file itself: the kept copy is a hard link and changes with it."""
    with path.open("r+") as stream:
        stream.write("X")


def edit_keeping_the_time(path: Path) -> None:
    stat = path.stat()
    path.write_text(path.read_text() + "more")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def replace_file(path: Path) -> None:
    """Replace the file, as most editors do: the kept copy stays whole."""
    path.unlink()
    path.write_text("Xeights")


EDITS: list[Callable[[Path], None]] = [edit_in_place, edit_keeping_the_time, replace_file]


def test_a_file_edited_in_place_is_not_restored(stage: ExampleStage) -> None:
    stage.make()
    before = stage.contents()[1]
    edit_in_place(stage.weights)
    assert (
        stage.root / HIDDEN / "policy.json.kept/checkpoint/deep/model.bin"
    ).read_text() != before
    assert not stage.make()
    assert stage.contents()[1] == before


def test_a_replaced_file_is_restored(stage: ExampleStage) -> None:
    stage.make()
    before = stage.contents()
    replace_file(stage.weights)
    assert stage.make(deleted=False)
    assert stage.contents() == before
    assert stage.runs == 1


def test_a_file_added_to_a_folder_is_removed(stage: ExampleStage) -> None:
    stage.make()
    (stage.outputs["checkpoint"] / "adapter.safetensors").write_text("surprise")
    assert mark_damaged(stage.root) == [stage.file]
    assert stage.make(deleted=False)
    assert not (stage.outputs["checkpoint"] / "adapter.safetensors").exists()


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.__name__)
@pytest.mark.parametrize("which", ["file", "weights"])
def test_an_edit_raises_the_count_of_remakes_once(
    stage: ExampleStage, edit: Callable[[Path], None], which: str
) -> None:
    stage.make()
    assert count_remakes(stage.file) == 0
    assert mark_damaged(stage.root) == []
    edit(getattr(stage, which))
    for _ in range(3):
        assert mark_damaged(stage.root) == [stage.file]
        assert count_remakes(stage.file) == 1


def test_every_edit_raises_the_count_of_remakes(stage: ExampleStage) -> None:
    stage.make()
    for count in (1, 2, 3):
        edit_in_place(stage.weights)
        mark_damaged(stage.root)
        assert count_remakes(stage.file) == count
        stage.make()
        assert mark_damaged(stage.root) == []
        assert count_remakes(stage.file) == count


def test_an_edit_after_a_restoration_is_noticed(stage: ExampleStage) -> None:
    stage.make()
    replace_file(stage.weights)
    mark_damaged(stage.root)
    assert stage.make()
    replace_file(stage.weights)
    assert mark_damaged(stage.root) == [stage.file]
    assert count_remakes(stage.file) == 2


def test_outputs_of_a_running_job_are_not_damaged(stage: ExampleStage) -> None:
    stage.make()
    stage.delete()
    with produce(replace(RECIPE, environment="another"), stage.outputs) as job:
        stage.write(job)
        stage.file.unlink()
        assert mark_damaged(stage.root) == []
        stage.write(job)
    assert count_remakes(stage.file) == 0


def test_hidden_files_added_by_the_system_are_no_edit(stage: ExampleStage) -> None:
    stage.make()
    (stage.outputs["checkpoint"] / ".nfs0001").write_text("still open somewhere")
    assert mark_damaged(stage.root) == []


def test_touching_a_file_is_no_edit(stage: ExampleStage) -> None:
    stage.make()
    for path in (stage.file, stage.weights):
        path.touch()
    assert mark_damaged(stage.root) == []


def test_rewriting_the_same_bytes_is_no_edit(stage: ExampleStage) -> None:
    stage.make()
    content = stage.weights.read_text()
    stage.weights.unlink()
    stage.weights.write_text(content)
    assert mark_damaged(stage.root) == []


def test_outputs_that_are_all_deleted_are_left_to_snakemake(stage: ExampleStage) -> None:
    stage.make()
    stage.delete()
    assert mark_damaged(stage.root) == []


@pytest.mark.parametrize("deleted", ["policy", "checkpoint"])
def test_one_deleted_output_of_several_counts_as_damage(stage: ExampleStage, deleted: str) -> None:
    """Snakemake checks only the outputs that a job downstream needs."""
    stage.make()
    path = stage.outputs[deleted]
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert mark_damaged(stage.root) == [stage.file]
    assert stage.make(deleted=False)
    assert mark_damaged(stage.root) == []


def test_a_deleted_file_inside_a_folder_counts_as_damage(stage: ExampleStage) -> None:
    stage.make()
    stage.weights.unlink()
    assert mark_damaged(stage.root) == [stage.file]


def test_snakemakes_own_time_stamp_in_a_folder_is_no_edit(stage: ExampleStage) -> None:
    stage.make()
    (stage.outputs["checkpoint"] / ".snakemake_timestamp").touch()
    assert mark_damaged(stage.root) == []


def test_deleting_all_outputs_frees_their_space(stage: ExampleStage) -> None:
    stage.make()
    kept = stage.root / HIDDEN / "policy.json.kept"
    delete_unused_copies(stage.root)
    assert kept.exists()
    stage.file.unlink()
    delete_unused_copies(stage.root)
    assert kept.exists()
    stage.delete()
    delete_unused_copies(stage.root)
    assert not kept.exists()


def test_deleting_the_whole_folder_is_fine(stage: ExampleStage) -> None:
    stage.make()
    shutil.rmtree(stage.root)
    assert mark_damaged(stage.root) == []
    delete_unused_copies(stage.root)
