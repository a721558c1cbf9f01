"""Trainings are seen in MLflow while they run, and nothing is sent twice or lost."""

import os
import shutil
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from restem.artifacts.progress import ProgressFile
from restem.artifacts.seals import Recipe, state_folder
from restem.config.services import Tracking
from restem.tracking import follow
from restem.tracking.follow import Follower
from restem.tracking.publish import UnreachableError, publish, tracking_uri
from restem.tracking.runs import Run

ADDRESS = "sums/S/rest-em/seed-0/iter-1"
RECIPE = Recipe("policy", {"training": {"learning_rate": 0.1}, "seed": 0}, {}, "lock", {})


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def results(empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_TRACKING_URI", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    folder = Path("results/demo")
    (folder / "tracking").mkdir(parents=True)
    shutil.copy(empty_database, folder / "tracking" / "mlflow.db")
    state_folder(folder / ADDRESS / "policy.json").mkdir(parents=True)
    return folder


def runs(results: Path) -> dict[str, Any]:
    from mlflow import MlflowClient

    server = MlflowClient(tracking_uri=tracking_uri(Tracking(), results / "tracking" / "spool"))
    experiment = server.get_experiment_by_name("restem")
    if experiment is None:
        return {}
    found = server.search_runs([experiment.experiment_id])
    names = {run.info.run_name: run for run in found}
    assert len(names) == len(found)
    for run in found:
        run.steps = {
            name: [(m.step, m.value) for m in server.get_metric_history(run.info.run_id, name)]
            for name in run.data.metrics
        }
    return names


def follower(results: Path, **settings: Any) -> Follower:
    return Follower("demo", "a tiny model", Tracking(**settings), results, time.time() - 10)


def test_a_run_appears_when_its_job_starts_and_grows(results: Path) -> None:
    following, file = follower(results), ProgressFile(results / ADDRESS / "policy.json")
    with file.of(RECIPE):
        following.send()
        run = runs(results)[ADDRESS]
        assert run.info.status == "RUNNING" and run.info.end_time is None
        assert run.data.params == {"training.learning_rate": "0.1", "seed": "0"}
        assert run.data.tags["note"] == "a tiny model"
        file.add(step=1, loss=2.0)
        following.send()
        file.add(step=2, loss=1.0)
        following.send()
        assert runs(results)[ADDRESS].steps["loss"] == [(1, 2.0), (2, 1.0)]
    following.send()
    run = runs(results)[ADDRESS]
    assert run.info.status == "FINISHED" and run.info.end_time >= run.info.start_time


def test_another_follower_sends_nothing_twice(results: Path) -> None:
    followers, file = (
        [follower(results), follower(results)],
        ProgressFile(results / ADDRESS / "policy.json"),
    )
    with file.of(RECIPE):
        file.add(step=1, loss=2.0)
        for following in followers:
            following.send()
        assert runs(results)[ADDRESS].steps["loss"] == [(1, 2.0)]


def test_the_study_is_published_into_the_runs_that_were_followed(results: Path) -> None:
    following, file = follower(results), ProgressFile(results / ADDRESS / "policy.json")
    with file.of(RECIPE):
        file.add(step=1, loss=2.0)
        following.send()
    before = runs(results)[ADDRESS].info.run_id
    finished = Run(ADDRESS, RECIPE.key, "sums/S/rest-em/seed-0", metrics={"accuracy": 0.5})
    publish("demo", [finished], Tracking(), results / "tracking" / "spool")
    following.send()  # too late: it must not take anything back
    run = runs(results)[ADDRESS]
    assert run.info.run_id == before
    assert run.data.metrics["accuracy"] == 0.5 and run.info.status == "FINISHED"


def test_a_server_that_comes_back_gets_everything(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    following, file = follower(results), ProgressFile(results / ADDRESS / "policy.json")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    with file.of(RECIPE):
        file.add(step=1, loss=2.0)
        with pytest.raises(UnreachableError, match="refused"):
            following.send()
        monkeypatch.delenv("MLFLOW_TRACKING_URI")
        file.add(step=2, loss=1.0)
        following.send()
    assert runs(results)[ADDRESS].steps["loss"] == [(1, 2.0), (2, 1.0)]


def test_a_killed_job_goes_on_in_its_run(results: Path) -> None:
    following, file = follower(results), ProgressFile(results / ADDRESS / "policy.json")
    with pytest.raises(SystemExit), file.of(RECIPE):
        file.add(step=1, loss=2.0)
        raise SystemExit
    following.send()
    assert runs(results)[ADDRESS].info.status == "KILLED"
    with file.of(RECIPE):
        file.add(step=2, loss=1.0)
        following.send()
        run = runs(results)[ADDRESS]
        assert run.info.status == "RUNNING"
        assert run.steps["loss"] == [(1, 2.0), (2, 1.0)]


def test_jobs_of_earlier_runs_are_left_alone(results: Path) -> None:
    file = ProgressFile(results / ADDRESS / "policy.json")
    with file.of(RECIPE):
        pass
    os.utime(file.path, (1, 1))
    follower(results).send()
    assert ADDRESS not in runs(results)


def test_it_ends_with_the_run_after_a_last_look(results: Path) -> None:
    file = ProgressFile(results / ADDRESS / "policy.json")
    following = follower(results)
    with file.of(RECIPE):
        file.add(step=1, loss=2.0)
    following.run(lambda: False)
    assert runs(results)[ADDRESS].info.status == "FINISHED"


@pytest.mark.parametrize(
    ("settings", "server", "wanted"),
    [
        ({}, None, False),
        ({}, "http://127.0.0.1:1", True),
        ({"uri": "http://127.0.0.1:1"}, None, True),
        ({"live": True}, None, True),
        ({"live": False}, "http://127.0.0.1:1", False),
        ({"live": True, "enabled": False}, None, False),
    ],
)
def test_trainings_are_followed_where_there_is_a_server(
    settings: dict[str, Any], server: str | None, wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    if server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    assert follow.is_wanted(Tracking(**settings)) is wanted
