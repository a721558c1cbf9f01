"""Every shipped study and profile resolves from a clone, and what is wrong is told readably."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from snakemake.profiles import ProfileConfigFileParser

from restem.config.services import Images
from restem.stages.declaration import Stage, load_stage, stage_names
from tests.shipped import studies

pytestmark = pytest.mark.workflow

CONFIG = Path(__file__).parents[2] / "config"
PAPER = ("mini", "olmo2", "qwen2.5", "llama3.2")
STUDIES = [path.name for path in studies("config")]


@pytest.fixture(scope="module")
def clone(planted: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a tree in which nothing is ever run, and that has no data."""
    return planted.copy(tmp_path_factory.mktemp("clone") / "tree")


@pytest.mark.parametrize("study", STUDIES)
def test_every_shipped_study_resolves(clone: Any, study: str) -> None:
    done = clone.dry_run("--configfile", f"config/{study}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "summarise_metrics" in done.stdout
    assert re.search(r"write_page +1\b", done.stdout)


@pytest.mark.parametrize("scale", PAPER)
def test_the_paper_resolves_at_every_scale(clone: Any, scale: str) -> None:
    done = clone.dry_run("paper", "--configfile", f"config/paper/{scale}.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "test_claims" in done.stdout
    assert "write_page" in done.stdout
    assert "estimate_false_positives" in done.stdout


def test_sheets_wait_for_nobody_and_filled_ones_are_read(clone: Any) -> None:
    """What a human has not graded is left out of the plan; what lies there is in it."""
    asked = ("paper", "--config", "experiments=[F10]", "claims=[]", "seeds=[0]")
    asked = (*asked, "metrics={ks: [1]}", "--configfile", "config/paper/qwen2.5.yaml")
    exam = "seed-0/iter-0/hungarian/test/exam/seed-0"
    without = clone.dry_run(*asked)
    assert without.returncode == 0, without.stdout + without.stderr
    assert f"pretrained/L/base/{exam}/sheet.csv" in without.stdout
    assert f"{exam}/rewards" not in without.stdout
    assert f"{exam}/metrics.parquet" not in without.stdout
    assert "figures/F10.svg" in without.stdout
    filled = clone.root / "graded/qwen2.5/pretrained/L/base" / exam / "sheet.csv"
    filled.parent.mkdir(parents=True)
    filled.touch()
    done = clone.dry_run(*asked)
    filled.unlink()
    assert done.returncode == 0, done.stdout + done.stderr
    made = re.findall(rf"output: \S*pretrained/L/base/{exam}/rewards/\S+", done.stdout)
    assert len(made) == 2, done.stdout  # its two shards
    assert f"graded/qwen2.5/pretrained/L/base/{exam}/sheet.csv" in done.stdout
    assert f"pretrained/L/base/{exam}/metrics.parquet" in done.stdout
    assert f"pretrained/S/base/{exam}/metrics.parquet" not in done.stdout


def test_where_everything_waits_for_a_human_nothing_is_summarised(clone: Any) -> None:
    study = {
        "study": "exam",
        "description": "An exam that nobody has graded.",
        "seeds": [0],
        "tasks": {
            "hungarian": {
                "data": {
                    "source": {"kind": "local", "directory": "exams"},
                    **{"train": 0, "validation": 0, "test": 2},
                },
                "graded_sheets": "graded/exam",
            }
        },
        "models": {"S": {"source": {"kind": "embedded", "size": "S"}}},
        "decodings": {"greedy": {"draws": 1, "temperature": 0, "max_tokens": 8}},
        "evaluations": [{"task": "hungarian", "split": "test", "decoding": "greedy"}],
        "claims": [],
        "variants": {},
    }
    (clone.root / "exam.yaml").write_text(json.dumps(study))
    for file in ("hungarian/test.jsonl", "prompts/minerva_math_4shot.json"):
        (clone.root / "exams" / file).parent.mkdir(parents=True)
        (clone.root / "exams" / file).touch()
    asked = ("--configfile", "exam.yaml")
    place = "pretrained/S/base/seed-0/iter-0/hungarian/test/greedy/seed-0/sheet.csv"
    without = clone.dry_run(*asked)
    assert without.returncode == 0, without.stdout + without.stderr
    assert place in without.stdout
    assert "summary.parquet" not in without.stdout
    filled = clone.root / "graded/exam" / place
    filled.parent.mkdir(parents=True)
    filled.touch()
    assert "results/exam/table.md" in clone.dry_run(*asked).stdout


def test_without_a_study_the_demo_resolves(clone: Any) -> None:
    done = clone.dry_run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "results/demo/table.md" in done.stdout


def test_false_positives_are_estimated_where_a_study_asks_for_it(clone: Any) -> None:
    assert "recheck_examples" not in clone.dry_run().stdout
    done = clone.dry_run(
        "--configfile", "config/demo.yaml", "--config", "false_positives={sample: 9}"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"recheck_examples +3\b", done.stdout)
    assert "results/demo/false_positives.md" in done.stdout


@pytest.mark.parametrize("target", ["all", "figures", "policies", "evaluations"])
def test_every_target_resolves(clone: Any, target: str) -> None:
    done = clone.dry_run(target)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "profile", ["slurm", "profiles/slurm", "profiles/slurm-without-containers", "profiles/local"]
)
def test_every_profile_resolves(clone: Any, profile: str) -> None:
    done = clone.dry_run("--profile", profile)
    assert done.returncode == 0, done.stdout + done.stderr


def test_one_slurm_profile_uses_containers_and_the_other_differs_in_nothing_else(
    clone: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(clone.root)
    found = {}
    for name in ("slurm", "slurm-without-containers"):
        with (Path("profiles") / name / "config.yaml").open() as stream:
            found[name] = ProfileConfigFileParser().parse(stream)
    assert found["slurm"].pop("software-deployment-method") == "apptainer"
    assert found["slurm"] == found["slurm-without-containers"]


RULE = re.compile(r"^rule (\w+):\n((?:    .*\n|\n)*)", re.MULTILINE)
DECLARED = re.compile(r'\*\*stage\("(\w+)"\)')


def stages_by_rule() -> dict[str, tuple[Stage, str]]:
    """Return the stage and the text of every rule that executes one."""
    text = "".join(path.read_text() for path in sorted((CONFIG.parent / "rules").glob("*.smk")))
    declared = {rule: (DECLARED.search(body), body) for rule, body in RULE.findall(text)}
    return {rule: (load_stage(m[1]), body) for rule, (m, body) in declared.items() if m}


def test_every_stage_has_one_rule() -> None:
    assert sorted(stage.name for stage, _ in stages_by_rule().values()) == stage_names()


def test_every_profile_gives_gpus_to_the_stages_that_declare_it() -> None:
    needy = {rule for rule, (stage, _) in stages_by_rule().items() if stage.needs_gpu}
    assert needy >= {"draw_samples", "make_policy"}
    for name in ("local", "slurm"):
        text = (CONFIG.parent / "profiles" / name / "config.yaml").read_text()
        profile = yaml.safe_load(re.sub(r"^\?if .*:$", "conditional:", text, flags=re.MULTILINE))
        resources = (profile.get("conditional") or profile)["set-resources"]
        assert {rule for rule, asked in resources.items() if asked.get("gpu")} == needy, name


def test_every_stage_runs_in_the_image_of_its_own_packages() -> None:
    """A rule names the stage whose image it wants, or its packages are in the default image."""
    images = Images()
    for rule, (stage, body) in stages_by_rule().items():
        asked = re.search(r'container:\n\s+image_of\("(\w+)"\)', body)
        if asked:
            assert asked[1] == stage.name, rule
        else:
            assert not stage.engine, rule
            assert images.of(stage.lock) == images.of("data"), rule


def test_the_cluster_gives_gpus_to_what_needs_them(clone: Any) -> None:
    told = clone.dry_run("--profile", "slurm").stdout
    stages = stages_by_rule()
    jobs = [block for block in told.split("\nrule ")[1:] if "resources: " in block]
    for block in jobs:
        stage = stages.get(block.partition(":")[0])
        assert ("gpu=1" in block) == bool(stage and stage[0].needs_gpu), block


def test_keys_on_the_command_line_change_the_demo(clone: Any) -> None:
    done = clone.dry_run("--config", "seeds=[5]")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "results/demo/chain/S/rest-em/seed-5/iter-3/policy.json" in done.stdout
    assert "seed-0/iter-3" not in done.stdout


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("seedz=[5]", "seedz: unknown key; did you mean 'seeds'?"),
        ("validation_decoding=greedi", "'greedi' is not defined; did you mean 'greedy'?"),
        ("figures=[pass_at_n]", "there is no figure 'pass_at_n'; did you mean 'pass_at_k'?"),
    ],
)
def test_a_study_that_is_wrong_is_told_readably(clone: Any, change: str, expected: str) -> None:
    done = clone.dry_run("--config", change)
    assert done.returncode == 1
    assert expected in done.stderr
    assert "what to do: " in done.stderr
    assert "Traceback" not in done.stderr


def test_a_job_can_be_pasted(finished: Any) -> None:
    """The printed command runs by hand, and finds that nothing is left to do."""
    told = finished.snakemake("-n", "-p", "-R", "write_table", "results/tiny/table.md")
    [command] = [line for line in told.splitlines() if "restem table " in line]
    command = command.removeprefix("Shell command: ")
    done = subprocess.run(
        ["bash", "-c", command], cwd=finished.root, env=finished.environment, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    assert b"reused results/tiny/table.md" in done.stdout


def test_what_snakemake_itself_would_read_silently_is_refused(clone: Any) -> None:
    """Snakemake keeps the last of two equal keys and reads 012 as 10."""
    path = clone.root / "config" / "twice.yaml"
    path.write_text((CONFIG / "demo.yaml").read_text() + "study: other\nseeds: [012]\n")
    done = clone.dry_run("--configfile", str(path))
    assert done.returncode == 1
    assert "the key 'study' is also in line 2" in done.stderr
    assert "YAML reads 012 as 10" in done.stderr


def test_a_contradiction_is_refused_before_the_first_job(clone: Any) -> None:
    study = (CONFIG / "demo.yaml").read_text()
    evaluation = "  - {task: chain, split: train, decoding: greedy}\n"
    assert evaluation in study
    path = clone.root / "config" / "gap.yaml"
    path.write_text(study.replace(evaluation, "") + "figures: [train_test_gap]\n")
    done = clone.dry_run("--configfile", str(path))
    assert done.returncode == 1
    assert "restem: the study has 1 problem:" in done.stderr
    assert "add a greedy evaluation on train, or leave the figure out" in done.stderr


def test_an_incomplete_model_is_refused_before_the_first_job(clone: Any) -> None:
    model = "models={M: {source: {kind: local, directory: ~/models/none}}}"
    done = clone.dry_run("--config", model)
    assert done.returncode == 1
    home = clone.environment.get("HOME", str(Path.home()))
    assert f"models.M.source.directory: {home}/models/none: there is no such d" in done.stderr


def test_a_new_study_can_be_planned(clone: Any) -> None:
    command = [str(Path(clone.command()[0]).parent / "restem"), "new", "mine", "--model", "S"]
    command += ["--tasks", "chain", "story", "--methods", "rest-em", "rft", "star"]
    written = subprocess.run(
        command, cwd=clone.root, env=clone.environment, capture_output=True, text=True, check=False
    )
    assert written.returncode == 0, written.stdout + written.stderr
    done = clone.dry_run("--configfile", "config/mine.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "results/mine/figures/train_test_gap.pdf" in done.stdout
