"""An artifact is made once, put back while nothing changed, and made again when something did."""

import json
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from restem.artifacts import (
    HIDDEN,
    RECOMPUTE,
    Job,
    Recipe,
    content_of,
    forget_deleted,
    mark_damaged,
    produce,
    read_json,
    read_seal,
    remakes,
    write_json,
    write_text,
)
from restem.errors import RestemError
from restem.tables import table, write_table

RECIPE = Recipe(
    stage="rewards",
    settings={"reward": {"policy": "strict"}, "task": "chain"},
    code={"restem.stages.rewards": "c0de", "restem.tables": "7ab1e"},
    environment="10cc",
    inputs={"samples": ["5a"], "problems": ["9b", "9c"]},
)


class Bench:
    """Make a table file and a checkpoint folder, and count how often that was work."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.outputs = {"policy": root / "policy.json", "checkpoint": root / "checkpoint"}
        self.made = 0
        self.text = "weights"

    @property
    def file(self) -> Path:
        return self.outputs["policy"]

    @property
    def weights(self) -> Path:
        return self.outputs["checkpoint"] / "deep" / "model.bin"

    def delete(self) -> None:
        """Do what Snakemake does before a job starts."""
        self.file.unlink(missing_ok=True)
        shutil.rmtree(self.outputs["checkpoint"], ignore_errors=True)

    def make(self, recipe: Recipe = RECIPE, deleted: bool = True) -> bool:
        """Make the outputs, and return whether they were put back."""
        if deleted:
            self.delete()
        with produce(recipe, self.outputs) as job:
            if not job.reused:
                self.made += 1
                self.write(job)
        return job.reused

    def write(self, job: Job) -> None:
        write_text(self.file, f'{{"made": {self.made}}}\n')
        self.weights.parent.mkdir(parents=True, exist_ok=True)
        self.weights.write_text(self.text)

    def contents(self) -> tuple[str, str]:
        return self.file.read_text(), self.weights.read_text()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    (tmp_path / "out").mkdir()
    return Bench(tmp_path / "out")


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
    "code": replace(RECIPE, code={**RECIPE.code, "restem.tables": "0ther"}),
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


# ---- edits by hand ----


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
    with produce(CHANGED["settings"], bench.outputs) as job:
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


# ---- contents ----


def test_the_content_of_a_table_is_its_rows(tmp_path: Path) -> None:
    first, second = tmp_path / "a.parquet", tmp_path / "b.parquet"
    write_table(first, "overlap", table("overlap", []), {"seconds": 1})
    write_table(second, "overlap", table("overlap", []), {"seconds": 2})
    assert first.read_bytes() != second.read_bytes()
    assert content_of(first) == content_of(second)


def test_the_content_of_a_policy_is_that_of_its_weights(tmp_path: Path) -> None:
    write_json(tmp_path / "policy.json", {"content": "abc", "provenance": {"seconds": 1}})
    assert content_of(tmp_path / "policy.json") == "abc"


@pytest.mark.parametrize("text", ['{"content": "same", "x": %d}', '["content", %d]', "[%d]"])
def test_the_content_of_other_json_is_its_bytes(tmp_path: Path, text: str) -> None:
    path = tmp_path / "prompts.json"
    path.write_text(text % 1)
    before = content_of(path)
    path.write_text(text % 2)
    assert content_of(path) != before


def test_the_content_of_any_other_file_is_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "data.txt"
    path.write_text("a")
    before = content_of(path)
    path.write_text("b")
    assert content_of(path) != before


@pytest.mark.parametrize("text", ["", "{", "nothing"])
def test_damaged_json_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "policy.json"
    path.write_text(text)
    with pytest.raises(RestemError) as caught:
        read_json(path)
    assert str(path) in caught.value.where


def test_json_is_written_readably_with_sorted_keys(tmp_path: Path) -> None:
    write_json(tmp_path / "new" / "a.json", {"b": "é", "a": 1})
    assert (tmp_path / "new" / "a.json").read_text() == '{\n  "a": 1,\n  "b": "é"\n}\n'
    assert json.loads((tmp_path / "new" / "a.json").read_text()) == {"a": 1, "b": "é"}


def test_a_failing_write_leaves_the_old_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    write_text(path, "old")

    def fail(_: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_a_stage_that_acts_outside_runs_every_time(tmp_path: Path) -> None:
    recipe = Recipe("tracking", {}, {}, "unlocked", {})
    output = tmp_path / "published.json"
    for _ in range(2):
        with produce(recipe, {"published": output}, reuse=False) as job:
            assert not job.reused
            output.write_text("{}")
