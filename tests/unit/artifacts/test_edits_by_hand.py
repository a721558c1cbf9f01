"""What people do to an artifact is noticed once: edits, replacements, deletions."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from restem.artifacts.store import HIDDEN, forget_deleted, mark_damaged, produce, remakes
from tests.unit.artifacts.bench import RECIPE, Bench


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


def test_a_file_edited_in_place_is_not_put_back(bench: Bench) -> None:
    bench.make()
    before = bench.contents()[1]
    edit_in_place(bench.weights)
    assert (
        bench.root / HIDDEN / "policy.json.kept/checkpoint/deep/model.bin"
    ).read_text() != before
    assert not bench.make()
    assert bench.contents()[1] == before


def test_a_replaced_file_is_put_back_as_it_was(bench: Bench) -> None:
    bench.make()
    before = bench.contents()
    replace_file(bench.weights)
    assert bench.make(deleted=False)
    assert bench.contents() == before
    assert bench.made == 1


def test_a_surplus_file_in_a_folder_is_swept(bench: Bench) -> None:
    bench.make()
    (bench.outputs["checkpoint"] / "adapter.safetensors").write_text("surprise")
    assert mark_damaged(bench.root) == [bench.file]
    assert bench.make(deleted=False)
    assert not (bench.outputs["checkpoint"] / "adapter.safetensors").exists()


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.__name__)
@pytest.mark.parametrize("which", ["file", "weights"])
def test_an_edit_raises_the_remakes_once(
    bench: Bench, edit: Callable[[Path], None], which: str
) -> None:
    bench.make()
    assert remakes(bench.file) == 0
    assert mark_damaged(bench.root) == []
    edit(getattr(bench, which))
    for _ in range(3):
        assert mark_damaged(bench.root) == [bench.file]
        assert remakes(bench.file) == 1


def test_every_edit_raises_the_remakes(bench: Bench) -> None:
    bench.make()
    for count in (1, 2, 3):
        edit_in_place(bench.weights)
        mark_damaged(bench.root)
        assert remakes(bench.file) == count
        bench.make()
        assert mark_damaged(bench.root) == []
        assert remakes(bench.file) == count


def test_an_edit_after_a_put_back_is_seen(bench: Bench) -> None:
    bench.make()
    replace_file(bench.weights)
    mark_damaged(bench.root)
    assert bench.make()
    replace_file(bench.weights)
    assert mark_damaged(bench.root) == [bench.file]
    assert remakes(bench.file) == 2


def test_what_a_running_job_has_not_finished_is_no_edit(bench: Bench) -> None:
    bench.make()
    bench.delete()
    with produce(replace(RECIPE, environment="another"), bench.outputs) as job:
        bench.write(job)
        bench.file.unlink()
        assert mark_damaged(bench.root) == []
        bench.write(job)
    assert remakes(bench.file) == 0


def test_hidden_files_that_a_system_leaves_are_no_edit(bench: Bench) -> None:
    bench.make()
    (bench.outputs["checkpoint"] / ".nfs0001").write_text("still open somewhere")
    assert mark_damaged(bench.root) == []


def test_touching_a_file_is_no_edit(bench: Bench) -> None:
    bench.make()
    for path in (bench.file, bench.weights):
        path.touch()
    assert mark_damaged(bench.root) == []


def test_rewriting_the_same_bytes_is_no_edit(bench: Bench) -> None:
    bench.make()
    content = bench.weights.read_text()
    bench.weights.unlink()
    bench.weights.write_text(content)
    assert mark_damaged(bench.root) == []


def test_outputs_that_are_all_deleted_are_for_snakemake_to_see(bench: Bench) -> None:
    bench.make()
    bench.delete()
    assert mark_damaged(bench.root) == []


@pytest.mark.parametrize("gone", ["policy", "checkpoint"])
def test_one_deleted_output_of_several_counts_as_damage(bench: Bench, gone: str) -> None:
    """Snakemake looks only at the outputs that something below asks for."""
    bench.make()
    path = bench.outputs[gone]
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert mark_damaged(bench.root) == [bench.file]
    assert bench.make(deleted=False)
    assert mark_damaged(bench.root) == []


def test_a_deleted_file_inside_a_folder_counts_as_damage(bench: Bench) -> None:
    bench.make()
    bench.weights.unlink()
    assert mark_damaged(bench.root) == [bench.file]


def test_snakemakes_own_time_stamp_in_a_folder_does_not_count(bench: Bench) -> None:
    bench.make()
    (bench.outputs["checkpoint"] / ".snakemake_timestamp").touch()
    assert mark_damaged(bench.root) == []


def test_deleting_all_outputs_frees_their_space(bench: Bench) -> None:
    bench.make()
    kept = bench.root / HIDDEN / "policy.json.kept"
    forget_deleted(bench.root)
    assert kept.exists()
    bench.file.unlink()
    forget_deleted(bench.root)
    assert kept.exists()
    bench.delete()
    forget_deleted(bench.root)
    assert not kept.exists()


def test_deleting_the_whole_folder_is_fine(bench: Bench) -> None:
    bench.make()
    shutil.rmtree(bench.root)
    assert mark_damaged(bench.root) == []
    forget_deleted(bench.root)
