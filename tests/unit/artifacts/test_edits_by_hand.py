"""Edits, replacements and deletions of an artifact are noticed, each once."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from restem.artifacts.seals import HIDDEN
from restem.artifacts.store import delete_unused_copies, remove
from tests.unit.artifacts.example_stage import ExampleStage


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
    assert stage.edits()
    assert stage.make(deleted=False)
    assert not (stage.outputs["checkpoint"] / "adapter.safetensors").exists()


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.__name__)
@pytest.mark.parametrize("which", ["file", "weights"])
def test_an_edit_is_noticed_until_the_artifact_is_made_again(
    stage: ExampleStage, edit: Callable[[Path], None], which: str
) -> None:
    stage.make()
    for _ in range(2):
        assert stage.edits() == []
        edit(getattr(stage, which))
        assert [change.rpartition(" ")[2] for change in stage.edits()] == ["edited"]
        stage.make(deleted=False)
    assert stage.edits() == []


def test_looking_for_edits_writes_nothing(stage: ExampleStage) -> None:
    stage.make()
    edit_in_place(stage.weights)
    before = {p: (p.stat().st_mtime_ns, p.is_dir() or p.read_bytes()) for p in everything(stage)}
    assert stage.edits()
    assert before == {
        p: (p.stat().st_mtime_ns, p.is_dir() or p.read_bytes()) for p in everything(stage)
    }


def everything(stage: ExampleStage) -> list[Path]:
    return [stage.root, *sorted(stage.root.rglob("*"))]


def test_an_edit_that_restores_size_and_time_is_never_blessed(stage: ExampleStage) -> None:
    """Such an edit cannot be seen without reading; but what is put back is read."""
    stage.make()
    good, stat = stage.contents()[1], stage.weights.stat()
    edit_in_place(stage.weights)
    os.utime(stage.weights, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert stage.edits() == []
    assert not stage.make(deleted=False)
    assert stage.contents()[1] == good


def test_hidden_files_added_by_the_system_are_no_edit(stage: ExampleStage) -> None:
    stage.make()
    (stage.outputs["checkpoint"] / ".nfs0001").write_text("still open somewhere")
    assert stage.edits() == []


def test_touching_a_file_is_no_edit(stage: ExampleStage) -> None:
    stage.make()
    for path in (stage.file, stage.weights):
        path.touch()
    assert stage.edits() == []


def test_rewriting_the_same_bytes_is_no_edit(stage: ExampleStage) -> None:
    stage.make()
    content = stage.weights.read_text()
    stage.weights.unlink()
    stage.weights.write_text(content)
    assert stage.edits() == []


def test_outputs_that_are_all_deleted_are_missing(stage: ExampleStage) -> None:
    stage.make()
    stage.delete()
    assert [change.rpartition(" ")[2] for change in stage.edits()] == ["missing", "missing"]


@pytest.mark.parametrize("deleted", ["policy", "checkpoint"])
def test_one_deleted_output_of_several_counts_as_damage(stage: ExampleStage, deleted: str) -> None:
    """Snakemake checks only the outputs that a job downstream needs."""
    stage.make()
    path = stage.outputs[deleted]
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert stage.edits()
    assert stage.make(deleted=False)
    assert stage.edits() == []


def test_a_deleted_file_inside_a_folder_counts_as_damage(stage: ExampleStage) -> None:
    stage.make()
    stage.weights.unlink()
    assert stage.edits()


def test_snakemakes_own_time_stamp_in_a_folder_is_no_edit(stage: ExampleStage) -> None:
    stage.make()
    (stage.outputs["checkpoint"] / ".snakemake_timestamp").touch()
    assert stage.edits() == []


@pytest.mark.parametrize("deleted", ["policy", "checkpoint"])
def test_deleting_an_output_frees_its_space(stage: ExampleStage, deleted: str) -> None:
    stage.make()
    kept = stage.root / HIDDEN / "policy.json.kept"
    delete_unused_copies(stage.file)
    assert sorted(p.name for p in kept.iterdir()) == ["checkpoint", "policy"]
    remove(stage.outputs[deleted])
    delete_unused_copies(stage.file)
    assert deleted not in {p.name for p in kept.iterdir()}
    assert len(list(kept.iterdir())) == 1


def test_outputs_that_a_killed_job_had_deleted_stay_kept(stage: ExampleStage) -> None:
    stage.make()
    stage.delete()
    delete_unused_copies(stage.file, spare=lambda output: True)
    assert stage.make(deleted=False)
    assert stage.runs == 1


def test_deleting_the_whole_folder_is_fine(stage: ExampleStage) -> None:
    stage.make()
    shutil.rmtree(stage.root)
    assert stage.edits() == []
    delete_unused_copies(stage.file)
