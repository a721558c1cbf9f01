"""A plan names what changed since an artifact was made, and every reason why it cannot be made."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from restem.artifacts.digests import code_digests
from restem.artifacts.store import HIDDEN, Recipe, mark_damaged, produce
from restem.errors import RestemError
from restem.stages.declaration import load_stage
from restem.tools import plan as planning
from restem.tools.dry_run import PlannedJob, dry_run
from restem.tools.plan import plan

OUTPUT = Path("results/study/overlap.parquet")
SETTINGS: dict[str, Any] = {"tables": [["math", "train"]]}


@pytest.fixture(autouse=True)
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with a workflow of one stage."""
    monkeypatch.chdir(tmp_path)
    write_snakefile()
    return tmp_path


def command(settings: Any = SETTINGS, environment: str = "lock") -> str:
    text = json.dumps(settings)
    return f"restem overlap --output {OUTPUT} --settings '{text}' --environment {environment}"


def write_snakefile(rest: str = "") -> None:
    shell = command().replace("{", "{{").replace("}", "}}")
    lines = ["rule all:", f"    input: '{OUTPUT}'", "rule measure_overlap:"]
    lines += [f"    output: '{OUTPUT}'", f"    shell: {shell!r}", rest]
    Path("Snakefile").write_text("\n".join(lines))


def make(seconds: float = 600) -> None:
    """Leave what the stage leaves after a run of some seconds."""
    code = code_digests(load_stage("overlap").modules(SETTINGS))
    with produce(Recipe("overlap", SETTINGS, code, "lock", {}), {"output": OUTPUT}):
        OUTPUT.parent.mkdir(parents=True, exist_ok=True)
        OUTPUT.write_text("rows")
    change_seal(seconds=seconds)


def change_seal(**values: Any) -> None:
    path = OUTPUT.parent / HIDDEN / f"{OUTPUT.name}.seal.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def planned(monkeypatch: pytest.MonkeyPatch, *commands: str) -> str:
    """Return the plan of a run for which Snakemake would give some commands."""
    jobs = [PlannedJob("measure_overlap", text) for text in commands]

    def answer(arguments: Sequence[str]) -> tuple[list[PlannedJob], list[str]]:
        return jobs, []

    monkeypatch.setattr(planning, "dry_run", answer)
    return plan([], None)


def test_snakemake_tells_which_jobs_would_run() -> None:
    jobs, warnings = dry_run([])
    assert (jobs, warnings) == ([PlannedJob("measure_overlap", command())], [])


def test_snakemakes_warnings_are_part_of_the_plan() -> None:
    """Snakemake has no record of an artifact that it did not make; another run holds a lock."""
    make()
    lock = Path(".snakemake/locks/0.output.lock")
    lock.parent.mkdir(parents=True)
    lock.write_text(f"{OUTPUT}\n")
    text = plan([], None)
    assert text.startswith("Nothing to be done.\n")
    assert "Snakemake: 1 jobs have missing provenance/metadata" in text
    assert "Directory cannot be locked" in text


@pytest.mark.parametrize(
    ("targets", "rest", "reason"),
    [
        (["nonsense"], "", "No rule to produce nonsense"),
        (["b"], "rule b:\n    input: 'absent.txt'\n    output: 'b'", "absent.txt"),
        ([], "rule c\n    output: 'c'", "SyntaxError in file"),
        ([], "import sys\nsys.exit('restem: the study is wrong')", "restem: the study is wrong"),
    ],
)
def test_every_reason_why_snakemake_cannot_plan_is_passed_on(
    targets: list[str], rest: str, reason: str
) -> None:
    write_snakefile(rest)
    with pytest.raises(RestemError) as error:
        plan(targets, None)
    assert reason in error.value.what
    assert error.value.where == " ".join(["snakemake", *targets, "--dry-run"])


def test_another_directory_is_refused(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (clone / "docs").mkdir()
    monkeypatch.chdir(clone / "docs")
    with pytest.raises(RestemError, match="no Snakefile in this directory"):
        plan([], None)


@pytest.mark.parametrize(
    ("text", "reason"), [("study: [a\ntasks: b", "line 2"), ("- a", "mapping"), (None, "No such")]
)
def test_a_study_that_is_no_yaml_is_refused_with_the_place(
    clone: Path, text: str | None, reason: str
) -> None:
    study = clone / "study.yaml"
    if text is not None:
        study.write_text(text)
    with pytest.raises(RestemError, match=reason) as error:
        plan([], study)
    assert error.value.where == str(study)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (command({"tables": [["math", "test"]]}), "key tables: "),
        (command(environment="other"), "envs/data.txt changed"),
        (command(environment="lock@image"), "container image changed: none -> image"),
        (command(), "something upstream is stale"),
    ],
)
def test_what_changed_is_named(monkeypatch: pytest.MonkeyPatch, changed: str, reason: str) -> None:
    make()
    assert f"  {reason}" in planned(monkeypatch, changed)


def test_a_job_without_a_seal_has_not_been_made(monkeypatch: pytest.MonkeyPatch) -> None:
    text = planned(monkeypatch, command())
    assert text.startswith("1 jobs are stale")
    assert "not made yet\n      measure_overlap x 1" in text


def test_changed_and_unused_modules_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    make()
    code = code_digests(load_stage("overlap").modules(SETTINGS))
    change_seal(code=code | {"restem.stages.overlap": "old", "restem.gone": "old"})
    text = planned(monkeypatch, command())
    assert "module restem.stages.overlap changed" in text
    assert "module restem.gone is no longer used" in text


def test_edited_and_deleted_files_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    make()
    OUTPUT.write_text("other rows")
    mark_damaged(Path("results"))
    assert f"file {OUTPUT} is not what was written" in planned(monkeypatch, command())
    make()
    OUTPUT.unlink()
    assert f"file {OUTPUT} is missing" in planned(monkeypatch, command())


def test_costs_are_those_of_the_same_job_or_the_median_of_its_stage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make(seconds=600)
    other = command().replace("study", "another")
    first, *_ = planned(monkeypatch, command(), other).splitlines()
    assert first == "2 jobs are stale: at most 20 min of work, based on past runtimes"
    new = other.replace("overlap --", "costs --")
    first, *_ = planned(monkeypatch, command(), new).splitlines()
    assert first.endswith("10 min of work, based on past runtimes; the runtime of 1 is unknown")


def test_commands_that_are_no_stage_are_part_of_a_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "not made yet" in planned(monkeypatch, "restem images build cpu", "touch file")
