"""The progress of a job can be read at any moment, also after kills and resumptions."""

from pathlib import Path

import pytest

from restem.artifacts.progress import ProgressFile, progress_files, read_progress
from restem.artifacts.seals import Recipe, state_folder


def recipe(**settings: object) -> Recipe:
    return Recipe("policy", settings, {}, "lock", {})


@pytest.fixture
def output(tmp_path: Path) -> Path:
    path = tmp_path / "iter-1" / "policy.json"
    state_folder(path).mkdir(parents=True)
    return path


def test_a_job_is_running_until_it_ends(output: Path) -> None:
    file = ProgressFile(output)
    with file.of(recipe(seed=1)):
        file.add(step=1, loss=2.0)
        progress = read_progress(file.path)
        assert progress is not None
        assert (progress.outcome, progress.ended) == (None, None)
        assert progress.settings == {"seed": 1}
    progress = read_progress(file.path)
    assert progress is not None and progress.ended is not None
    assert progress.outcome == "finished" and progress.ended >= progress.started
    assert [point[:2] for point in progress.curves["loss"]] == [(1, 2.0)]


@pytest.mark.parametrize(("problem", "outcome"), [(ValueError, "failed"), (SystemExit, "killed")])
def test_it_is_told_how_a_job_ended(
    output: Path, problem: type[BaseException], outcome: str
) -> None:
    file = ProgressFile(output)
    with pytest.raises(problem), file.of(recipe()):
        raise problem
    progress = read_progress(file.path)
    assert progress is not None and progress.outcome == outcome


def test_of_a_step_that_was_taken_again_the_last_time_counts(output: Path) -> None:
    file = ProgressFile(output)
    with pytest.raises(SystemExit), file.of(recipe()):
        for step in (1, 2, 3):
            file.add(step=step, loss=10.0 + step)
        raise SystemExit
    with file.of(recipe()):
        file.add(step=3, loss=3.0)
        file.add(step=4, loss=4.0)
        progress = read_progress(file.path)
    assert progress is not None and progress.outcome is None
    assert [point[:2] for point in progress.curves["loss"]] == [
        (1, 11.0),
        (2, 12.0),
        (3, 3.0),
        (4, 4.0),
    ]


def test_another_recipe_begins_anew(output: Path) -> None:
    file = ProgressFile(output)
    with file.of(recipe(seed=1)):
        file.add(step=1, loss=1.0)
    with file.of(recipe(seed=2)):
        pass
    progress = read_progress(file.path)
    assert progress is not None and progress.curves == {} and progress.settings == {"seed": 2}


def test_half_a_line_costs_only_itself(output: Path) -> None:
    file = ProgressFile(output)
    with file.of(recipe()):
        file.add(step=1, loss=1.0)
    with file.path.open("a") as stream:
        stream.write('{"time": 3, "step": 2, "lo')
    progress = read_progress(file.path)
    assert progress is not None and len(progress.curves["loss"]) == 1
    with file.of(recipe()):
        file.add(step=2, loss=2.0)
    progress = read_progress(file.path)
    assert progress is not None and len(progress.curves["loss"]) == 2


@pytest.mark.parametrize("content", ["", "null\n[]\n3\n", '{"time": "now"}\n', "\x00\x01"])
def test_what_is_no_progress_is_none(output: Path, content: str) -> None:
    path = ProgressFile(output).path
    assert read_progress(path) is None
    path.write_text(content)
    assert read_progress(path) is None


def test_a_full_disk_does_not_end_the_job(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = ProgressFile(output)
    with file.of(recipe()):
        file.path.unlink()
        file.path.mkdir()  # nothing can be written there
        file.add(step=1, loss=1.0)


def test_all_files_below_a_folder_are_found(output: Path) -> None:
    with ProgressFile(output).of(recipe()):
        pass
    assert [found for found, _ in progress_files(output.parents[1])] == [output]
