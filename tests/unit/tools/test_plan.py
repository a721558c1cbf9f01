"""A plan names what changed since an artifact was made, and every reason why it cannot be made."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from restem.artifacts.digests import code_digests
from restem.artifacts.schemas.evaluation import OVERLAP
from restem.artifacts.seals import HIDDEN, Recipe
from restem.artifacts.store import produce
from restem.artifacts.tables import table, write_table
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


SNAKEFILE = """
import json
from restem.artifacts.digests import code_digest
from restem.stages.declaration import load_stage
from restem.staleness.snakemake import let_seals_decide

let_seals_decide()
SETTINGS = {settings!r}

rule all:
    input: {output!r}

rule measure_overlap:
    output: overlap={output!r}
    params:
        settings=json.dumps(SETTINGS),
        code=code_digest(load_stage("overlap").modules(SETTINGS)),
        environment={environment!r},
    shell:
        "restem overlap --output {{output.overlap:q}} --settings {{params.settings:q}}"
        " --environment {{params.environment}} 2>&1 | tee log"

{rest}
"""


def write_snakefile(
    rest: str = "", settings: Any = SETTINGS, environment: str = "lock", output: Path = OUTPUT
) -> None:
    text = SNAKEFILE.format(
        settings=settings, environment=environment, output=str(output), rest=rest
    )
    Path("Snakefile").write_text(text)


def make(seconds: float = 600, code: dict[str, str] | None = None) -> None:
    """Leave what the stage leaves after a run of some seconds."""
    code = code or code_digests(load_stage("overlap").modules(SETTINGS))
    with produce(Recipe("overlap", SETTINGS, code, "lock", {"problems": []}), {"output": OUTPUT}):
        OUTPUT.parent.mkdir(parents=True, exist_ok=True)
        write_table(OUTPUT, OVERLAP, table(OVERLAP, []), {})
    change_seal(seconds=seconds)


def change_seal(**values: Any) -> None:
    path = OUTPUT.parent / HIDDEN / f"{OUTPUT.name}.seal.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def explained(monkeypatch: pytest.MonkeyPatch, *jobs: PlannedJob) -> str:
    """Return the plan of a run that has some jobs."""

    def answer(arguments: Sequence[str]) -> tuple[list[PlannedJob], list[str]]:
        return list(jobs), []

    monkeypatch.setattr(planning, "dry_run", answer)
    return plan([], None)


def test_a_job_without_a_seal_has_not_been_made() -> None:
    jobs, warnings = dry_run([])
    assert jobs == [PlannedJob("measure_overlap", "overlap", str(OUTPUT), ())]
    assert warnings == []
    text = plan([], None)
    assert text.startswith("1 job is stale: the runtime of 1 is unknown (restem forecast")
    assert "not made yet\n      measure_overlap x 1" in text


def test_an_artifact_without_a_seal_is_made_again() -> None:
    OUTPUT.parent.mkdir(parents=True)
    OUTPUT.write_text("rows")
    assert "it has no readable seal\n      measure_overlap x 1" in plan([], None)


def test_a_sealed_artifact_is_fresh_though_snakemake_knows_nothing_of_it() -> None:
    make()
    assert plan([], None) == "Nothing to be done."


def test_snakemakes_warnings_are_part_of_the_plan() -> None:
    make()
    lock = Path(".snakemake/locks/0.output.lock")
    lock.parent.mkdir(parents=True)
    lock.write_text(f"{OUTPUT}\n")
    text = plan([], None)
    assert text.startswith("Nothing to be done.\n")
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


def test_what_restem_reports_while_snakemake_plans_is_not_wrapped() -> None:
    write_snakefile("import sys\nsys.exit('restem: wrong\\n  where: here\\n  what to do: that')")
    with pytest.raises(RestemError) as error:
        plan([], None)
    assert (error.value.what, error.value.where, error.value.fix) == ("wrong", "here", "that")


def test_a_study_as_a_target_is_refused_with_the_option() -> None:
    with pytest.raises(RestemError, match="no target") as error:
        plan(["config/first.yaml"], None)
    assert error.value.fix == "restem plan --configfile config/first.yaml"


def test_a_home_folder_in_which_nothing_can_be_written_is_named(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/proc")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    with pytest.raises(RestemError, match="Snakemake can keep no cache") as caught:
        dry_run([])
    assert caught.value.where == "/proc/.cache"
    assert "XDG_CACHE_HOME" in caught.value.fix
    monkeypatch.setenv("XDG_CACHE_HOME", str(clone / "cache"))
    assert dry_run([])


def test_another_directory_is_refused(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (clone / "docs").mkdir()
    monkeypatch.chdir(clone / "docs")
    with pytest.raises(RestemError, match="no Snakefile in this directory"):
        plan([], None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [("study: [a\ntasks: b", "line 2"), ("- a", "mapping"), (None, "no such file")],
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
        ({"settings": {"tables": [["math", "test"]]}}, "key tables: "),
        ({"environment": "other"}, "envs/data.txt changed"),
    ],
)
def test_what_changed_is_named(changed: dict[str, Any], reason: str) -> None:
    make()
    write_snakefile(**changed)
    assert f"  {reason}" in plan([], None)


def test_changed_and_unused_modules_are_named() -> None:
    code = code_digests(load_stage("overlap").modules(SETTINGS))
    make(code=code | {"restem.stages.overlap": "old", "restem.gone": "old"})
    text = plan([], None)
    assert "module restem.stages.overlap changed" in text
    assert "module restem.gone is no longer used" in text


def test_edited_and_deleted_files_are_named() -> None:
    make()
    OUTPUT.write_text("other rows")
    assert f"file {OUTPUT} was edited" in plan([], None)
    OUTPUT.unlink()
    assert f"file {OUTPUT} is missing" in plan([], None)


def test_what_only_follows_from_jobs_upstream_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    make()
    job = PlannedJob("measure_overlap", "overlap", str(OUTPUT), ())
    assert "something upstream is stale" in explained(monkeypatch, job)


def test_costs_are_those_of_the_same_job_or_the_median_of_its_stage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make(seconds=600)
    job = PlannedJob("measure_overlap", "overlap", str(OUTPUT), ("key tables: 1 -> 2",))
    other = PlannedJob("measure_overlap", "overlap", "results/study/another.parquet", ())
    first, *_ = explained(monkeypatch, job, other).splitlines()
    assert first == "2 jobs are stale: about 20 min of work, by past runtimes in this study"
    new = PlannedJob("count_costs", "costs", "results/study/costs.parquet", ())
    first, *_ = explained(monkeypatch, job, new).splitlines()
    assert "about 10 min of work" in first and "the runtime of 1 is unknown" in first


def test_another_study_says_nothing_on_runtimes(monkeypatch: pytest.MonkeyPatch) -> None:
    make(seconds=600)
    job = PlannedJob("measure_overlap", "overlap", "results/another/overlap.parquet", ())
    first, *_ = explained(monkeypatch, job).splitlines()
    assert first.startswith("1 job is stale: the runtime of 1 is unknown")


def test_what_follows_for_the_page_does_not_hide_what_was_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cause = PlannedJob("make_policy", "policy", "results/study/a", ("key training.seed: 0 -> 1",))
    derived = ("key facts: a -> b", "key groups.study: c -> d", "input costs: 3 -> 4 files")
    page = PlannedJob("write_page", "page", "results/study/b", (*derived, "key label: e -> f"))
    text = explained(monkeypatch, page, cause)
    places = [text.index(part) for part in ("training.seed", "key label", planning.SHOWN)]
    assert "write_page x 1" in text[places[2] :]
    assert not any(reason in text for reason in derived)
    # Where nothing else explains it, they are the explanation.
    alone = explained(monkeypatch, PlannedJob("write_page", "page", "results/study/b", derived))
    assert all(reason in alone for reason in derived)


def test_jobs_that_run_no_stage_are_part_of_a_plan() -> None:
    write_snakefile("rule image:\n    output: 'x.sif'\n    shell: 'restem images build cpu'")
    assert "not made yet\n      image x 1" in plan(["x.sif"], None)
