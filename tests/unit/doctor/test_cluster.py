"""Profile and site settings against the partitions of a SLURM, as its commands print them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from restem.cli import cli
from restem.deployment.engines import with_engines
from restem.deployment.profile import find_profile
from restem.deployment.site import Site
from restem.doctor import cluster, slurm
from restem.doctor.diagnosis import diagnose, in_words, stops
from restem.doctor.findings import error, ok, warning
from restem.errors import RestemError
from tests.unit.doctor.conftest import ROOT, lines

PARTITIONS = """\
PartitionName=cpu AllowAccounts=ALL AllowQos=ALL Default=YES MaxTime=1-00:00:00 State=UP
PartitionName=gpu AllowAccounts=lab,other AllowQos=long Default=NO MaxTime=08:00:00 State=UP
PartitionName=old AllowAccounts=ALL AllowQos=ALL Default=NO MaxTime=UNLIMITED State=DOWN
"""
NODES = """\
cpu|32|128000|(null)|avx|idle|10
gpu|16|500000|gpu:a100:4(S:0-1)|nvlink|mixed|2
gpu|16|900000|gpu:h100:8|nvlink|down*|2
"""
PROFILE = {
    "executor": "restem-slurm",
    "default-resources": {"mem_mb": 8000, "runtime": 60, "cpus_per_task": 2},
    "set-resources": {"draw_samples": {"gpu": 1, "mem_mb": 64000, "runtime": "4h"}},
}
SITE = {"slurm": {"account": "lab", "partition": {"gpu": "gpu"}, "qos": {"gpu": "long"}}}


@pytest.fixture(autouse=True)
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, str | None]:
    """Let the commands of SLURM answer what the returned mapping says."""
    said: dict[str, str | None] = {"scontrol": PARTITIONS, "sinfo": NODES, "sacctmgr": None}
    monkeypatch.setattr(slurm, "query", lambda *command, **_: said[command[0]])
    here = {"sinfo": "/usr/bin/sinfo"}
    monkeypatch.setattr(cluster.shutil, "which", here.get)
    return said


def grants(subject: Any, profile: dict[str, Any], site: dict[str, Any], level: str) -> list[str]:
    return lines(cluster.grants(subject(profile=profile, site=site)), level)


def test_what_can_be_had_is_said_to_be(subject: Any) -> None:
    assert grants(subject, PROFILE, SITE, "error") == []
    [text] = grants(subject, PROFILE, SITE, "ok")
    assert text == "what 1 rules of slurm and all others ask for can be had in cpu, gpu"


def rule(**resources: Any) -> dict[str, Any]:
    stated = PROFILE["set-resources"]["draw_samples"] | resources  # type: ignore[index]
    return PROFILE | {"set-resources": {"draw_samples": stated}}


WRONG = [
    (rule(runtime=600), SITE, "it asks for 600 minutes, and the limit is 480"),
    (rule(mem_mb=600000), SITE, "it asks for 600000 MB, and its nodes have 500000 MB"),
    (rule(cpus_per_task=64), SITE, "it asks for 64 CPUs, and its nodes have 16 CPUs"),
    (rule(gpu=8), SITE, "it asks for 8 GPUs, and its nodes have 4 a100"),
    (rule(gpu_model="h100"), SITE, "it asks for 1 h100, and its nodes have 4 a100"),
    (rule(slurm_partition="gpus"), SITE, "there is no partition 'gpus'; there are cpu, gpu, old"),
    (rule(slurm_account="mine"), SITE, "slurm_account mine may not use it; lab, other may"),
    (rule(qos="short"), SITE, "qos short may not use it; long may"),
    (rule(constraint="ib"), SITE, "it asks for the feature ib, and its nodes have nvlink"),
    (PROFILE, {"slurm": {"account": "lab"}}, "it asks for 1 GPUs, and its nodes have no GPU"),
]


@pytest.mark.parametrize(("profile", "site", "expected"), WRONG, ids=[row[2] for row in WRONG])
def test_what_slurm_would_refuse_or_never_start_is_an_error(
    subject: Any, profile: dict[str, Any], site: dict[str, Any], expected: str
) -> None:
    [text] = grants(subject, profile, site, "error")
    assert text.startswith("draw_samples") and expected in text
    assert not grants(subject, profile, site, "ok")


def test_a_ceiling_of_the_site_lowers_what_is_asked_for(subject: Any) -> None:
    site = {"slurm": {**SITE["slurm"], "max_runtime": 480, "max_mem_mb": 500_000}}
    assert grants(subject, rule(runtime=600, mem_mb=600_000), site, "error") == []


def test_a_partition_that_is_down_is_a_warning(subject: Any) -> None:
    profile = rule(slurm_partition="old", runtime=99999)
    found = grants(subject, profile, SITE, "warning")
    assert [text.partition(": ")[2] for text in found] == ["it is not up", "no node is up"]


def test_expressions_are_not_compared_and_said_not_to_be(subject: Any) -> None:
    profile = rule(gpu="4 if wildcards.model == 'L' else 1")
    [text] = grants(subject, profile, SITE, "skipped")
    assert text == "draw_samples: expressions are not compared: gpu"


def test_an_account_that_the_user_does_not_have_is_an_error(
    subject: Any, answers: dict[str, str | None]
) -> None:
    answers["sacctmgr"] = "lab\nlab\n"
    assert grants(subject, PROFILE, SITE, "error") == []
    answers["sacctmgr"] = "other\n"
    [text] = grants(subject, PROFILE, SITE, "error")
    assert text == "you have no account 'lab'; you have other"


def test_without_a_default_partition_one_has_to_be_named(
    subject: Any, answers: dict[str, str | None]
) -> None:
    answers["scontrol"] = PARTITIONS.replace("Default=YES", "Default=NO")
    [text] = grants(subject, PROFILE, SITE, "error")
    assert text.startswith("other rules: no partition is named, and SLURM has no default")


def test_a_slurm_that_is_away_matters_where_its_profile_is_named(
    written: Any, answers: dict[str, str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers["scontrol"] = None
    monkeypatch.chdir(ROOT)
    path = written({})
    assert "SLURM does not answer" in lines(diagnose(path)["cluster"], "warning")[0]
    assert "SLURM does not answer" in lines(diagnose(path, "slurm")["cluster"], "error")[0]


@pytest.mark.parametrize("profile", ["profiles/local", "profiles/default"])
def test_a_profile_that_runs_jobs_here_is_not_checked_against_slurm(
    profile: str, written: Any, answers: dict[str, str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers["scontrol"] = None
    monkeypatch.chdir(ROOT)
    found = diagnose(written({}), profile)
    assert f"with the profile {profile}, jobs run on this machine" in lines(
        found["cluster"], "skipped"
    )
    assert not lines(found["cluster"], "error")
    assert not [text for text in lines(found["machine"], "skipped") if "other machines" in text]


def test_where_there_is_no_slurm_the_check_says_so(
    subject: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster.shutil, "which", lambda name: None)
    assert lines(cluster.grants(subject()), "skipped")[0].startswith("no SLURM here")
    assert "there is no SLURM here" in grants(subject, PROFILE, SITE, "error")[0]


def test_site_settings_are_found_or_said_to_be_missing(
    subject: Any, written: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "there are no site settings" in lines(cluster.has_site(subject()), "skipped")[0]
    path = tmp_path / "site.yaml"
    path.write_text("slurm: {acount: lab}\n")
    monkeypatch.setenv("RESTEM_SITE", str(path))
    assert lines(cluster.has_site(subject()), "ok") == [f"the site settings {path} can be read"]
    found = diagnose(written({}), root=ROOT)["cluster"]
    assert "did you mean 'account'" in lines(found, "error")[0]


def test_more_processes_than_gpus_are_an_error(subject: Any) -> None:
    training = {"training": {"processes": 4}}
    profile = PROFILE | {"set-resources": {"make_policy": {"gpu": 1}}}
    [text] = lines(cluster.has_gpus_for_processes(subject(training, profile)), "error")
    assert text.startswith("S: 4 processes fine-tune it (training.processes), and the profile")
    profile = PROFILE | {"set-resources": {"make_policy": {"gpu": 4}}}
    assert list(cluster.has_gpus_for_processes(subject(training, profile))) == []


def test_more_engines_than_gpus_are_an_error(subject: Any) -> None:
    engine = {"name": "vllm", "tensor_parallel": 2, "replicas": 2}
    model = {"models": {"S": {"source": {"kind": "embedded", "size": "S"}, "engine": engine}}}
    profile = PROFILE | {"set-resources": {"draw_samples": {"gpu": 2}}}
    [text] = lines(cluster.has_gpus_for_engines(subject(model, profile)), "error")
    assert text.startswith("S: 4 GPUs sample from it (engine.tensor_parallel times replicas), and")
    for gpus in (0, 4):
        profile = PROFILE | {"set-resources": {"draw_samples": {"gpu": gpus}}}
        assert list(cluster.has_gpus_for_engines(subject(model, profile))) == []


def test_limits_are_read_as_slurm_writes_them() -> None:
    limits = {"30": 30, "30:30": 31, "08:00:00": 480, "1-00:00:00": 1440, "7-12": 10800}
    assert {text: slurm.minutes(text) for text in limits} == limits
    assert slurm.minutes("UNLIMITED") is None


def test_the_profile_of_the_repository_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    profile = find_profile("slurm")
    requests = {request.rule: request for request in profile.requests(Site())}
    assert requests["draw_samples"].gpus == 1
    assert requests["other rules"].resources["runtime"] == 60
    with pytest.raises(RestemError, match="there is no such profile"):
        find_profile("no-such-profile")


# ---- what is printed ----


def test_a_diagnosis_reads_as_groups_of_lines_with_ways_out() -> None:
    found = {"study": [ok("fine"), warning("odd", "look")], "data": [], "disk": [error("no", "do")]}
    assert in_words(found).splitlines() == [
        "study", "  ok       fine", "  warning  odd", "           -> look", "",
        "disk", "  error    no", "           -> do", "",
        "1 error, 1 warning, 1 ok, 0 not checked: a run would stop",
    ]  # fmt: skip
    assert stops(found) and not stops({"study": [warning("odd", "look")]})


def test_the_command_fails_where_a_run_would_stop(
    written: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("restem.doctor.diagnosis.shutil.which", lambda name: None)
    done = CliRunner().invoke(cli, ["doctor", str(written({}))])
    assert (done.exit_code, done.output.splitlines()[0]) == (0, "study"), done.output
    done = CliRunner().invoke(cli, ["doctor", str(written({"tasks.chain.data.test": 0}))])
    assert done.exit_code == 1
    assert "a run would stop" in done.output.splitlines()[-1]
    done = CliRunner().invoke(cli, ["doctor", "no/such/study.yaml"])
    assert done.exit_code == 1 and "no/such/study.yaml" in done.output


# ---- the engine that jobs will take ----


@pytest.mark.parametrize(
    ("profile", "site", "family"),
    [
        (None, {}, "model"),
        ({"set-resources": {"draw_samples": {"gpu": 1}}}, {}, "vllm"),
        ({"set-resources": {"draw_samples": {"gpu": 1}}}, {"engine": "transformers"}, "model"),
        ({"set-resources": {"make_policy": {"gpu": 1}}}, {"engine": "vllm"}, "vllm"),
    ],
)
def test_the_engine_follows_the_profile_and_the_site(
    subject: Any, profile: Any, site: dict[str, Any], family: str
) -> None:
    hub = {"kind": "hub", "id": "a/b", "revision": "0" * 40}
    made = subject({"models.S.source": hub}, profile, site)
    made = replace(made, study=with_engines(made.study, made.engine))
    assert ("vllm" in made.lock_families) == (family == "vllm")


def test_profiles_that_are_templates_are_read_as_snakemake_reads_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    contained = find_profile("profiles/slurm")
    without = find_profile("profiles/slurm-without-containers")
    assert contained.is_contained
    assert not without.is_contained
    assert without.resources("draw_samples") == contained.resources("draw_samples") != {}
