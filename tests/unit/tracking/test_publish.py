"""Publishing is idempotent, loses nothing and never holds up a study."""

import fcntl
import json
import os
import shutil
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from restem.config.services import Tracking
from restem.errors import RestemError
from restem.tracking import publish as publishing
from restem.tracking.publish import publish, tracking_uri
from restem.tracking.runs import ONLY, Run

Client = Any


def run(variant: str = "rest-em", iteration: int = 1, **changes: Any) -> Run:
    default = Run(
        f"sums/S/{variant}/seed-0/iter-{iteration}",
        key=f"key-{variant}-{iteration}",
        parent=f"sums/S/{variant}/seed-0",
        params={"learning_rate": 0.001, "method": {"start": "base"}},
        metrics={"test/pass@8": 0.5},
        curves={"loss": [(1, 2.0), (2, 1.5)]},
        tags={"restem.variant": variant, "note": "embedded model"},
    )
    return replace(default, **changes)


RUNS = [run("base", 0), run(), run(iteration=2)]


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make MLflow's tables only once, because that takes seconds."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    client(f"sqlite:///{path}").search_experiments()
    return path


def client(uri: str) -> Client:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


@pytest.fixture
def spool(empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_TRACKING_URI", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "demo").mkdir()
    shutil.copy(empty_database, tmp_path / "demo" / "mlflow.db")
    yield tmp_path / "demo" / "spool"
    assert not (tmp_path / "mlruns").exists()


def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def published(spool: Path) -> dict[str, Any]:
    """Return the present runs by name, after checking that names are unique."""
    runs = [item for item in all_runs(spool) if "restem.superseded_by" not in item.data.tags]
    runs_by_name = {item.info.run_name: item for item in runs}
    assert len(runs_by_name) == len(runs)
    return runs_by_name


def all_runs(spool: Path) -> list[Any]:
    server = client(tracking_uri(Tracking(), spool))
    experiment = server.get_experiment_by_name("restem")
    return list(server.search_runs([experiment.experiment_id]))


def spooled(spool: Path) -> int:
    return len(list(spool.glob("*.json")))


def test_policies_are_nested_under_lineages_and_these_under_their_study(spool: Path) -> None:
    publication = publish("demo", RUNS, Tracking(), spool)
    assert publication.outcomes == {"created": 3}
    assert (publication.waiting, spooled(spool)) == (0, 0)
    runs = published(spool)
    parents = {item.info.run_id: name for name, item in runs.items()}
    nesting = {
        name: parents.get(item.data.tags.get("mlflow.parentRunId")) for name, item in runs.items()
    }
    assert nesting == {
        "demo": None,
        "sums/S/base/seed-0": "demo",
        "sums/S/rest-em/seed-0": "demo",
        **{item.address: item.parent for item in RUNS},
    }
    assert all(runs[item.address].info.status == "FINISHED" for item in RUNS)
    second = runs["sums/S/rest-em/seed-0/iter-2"]
    assert second.data.metrics == {"test/pass_at_8": 0.5, "loss": 1.5}
    assert second.data.params == {"learning_rate": "0.001", "method": '{"start": "base"}'}
    tags = second.data.tags
    assert tags["restem.key"] == "key-rest-em-2"
    assert (tags["restem.variant"], tags["note"]) == ("rest-em", "embedded model")


def test_curves_keep_their_steps(spool: Path) -> None:
    curve = [(step, 1 / (step + 1)) for step in range(1500)]
    publish("demo", [run(curves={"loss": curve})], Tracking(), spool)
    server = client(tracking_uri(Tracking(), spool))
    item = published(spool)["sums/S/rest-em/seed-0/iter-1"]
    history = server.get_metric_history(item.info.run_id, "loss")
    assert sorted((point.step, point.value) for point in history) == curve


def test_a_run_starts_and_ends_when_its_job_did(spool: Path) -> None:
    curve = [(1, 2.0, 1000.5), (2, 1.5, 1001.25)]
    publish("demo", [run(curves={"loss": curve}, started=1000.0, ended=1002.0)], Tracking(), spool)
    item = published(spool)["sums/S/rest-em/seed-0/iter-1"]
    assert (item.info.start_time, item.info.end_time) == (1_000_000, 1_002_000)
    server = client(tracking_uri(Tracking(), spool))
    history = server.get_metric_history(item.info.run_id, "loss")
    assert [point.timestamp for point in history] == [1_000_500, 1_001_250]


def test_a_lineage_has_its_estimates_by_iteration(spool: Path) -> None:
    lineage = Run(
        "sums/S/rest-em/seed-0", ONLY, kind="lineage", curves={"accuracy": [(1, 0.5), (2, 0.75)]}
    )
    publish("demo", [*RUNS, lineage], Tracking(), spool)
    runs = published(spool)
    item = runs["sums/S/rest-em/seed-0"]
    history = client(tracking_uri(Tracking(), spool)).get_metric_history(
        item.info.run_id, "accuracy"
    )
    assert [(point.step, point.value) for point in history] == [(1, 0.5), (2, 0.75)]
    below = [i for i in runs.values() if i.data.tags.get("mlflow.parentRunId") == item.info.run_id]
    assert len(below) == 2


def test_publishing_twice_changes_nothing(spool: Path) -> None:
    publish("demo", RUNS, Tracking(), spool)
    before = {name: item.to_dictionary() for name, item in published(spool).items()}
    publication = publish("demo", RUNS, Tracking(), spool)
    assert publication.outcomes == {"unchanged": 3}
    assert {name: item.to_dictionary() for name, item in published(spool).items()} == before


def test_a_policy_with_more_estimates_keeps_its_run(spool: Path) -> None:
    publish("demo", RUNS, Tracking(), spool)
    before = published(spool)["sums/S/rest-em/seed-0/iter-1"].info.run_id
    changed = run(metrics={"test/pass@8": 0.75}, params={**RUNS[1].params, "method": "RFT"})
    more = run(metrics={"test/pass@8": 0.75, "test/pass@4": 0.5})
    publication = publish("demo", [RUNS[0], more], Tracking(), spool)
    assert publication.outcomes == {"updated": 1, "unchanged": 1}
    item = published(spool)["sums/S/rest-em/seed-0/iter-1"]
    assert item.info.run_id == before
    assert item.data.metrics["test/pass_at_8"] == 0.75
    assert item.data.metrics["test/pass_at_4"] == 0.5
    publish("demo", [changed], Tracking(), spool)
    item = published(spool)["sums/S/rest-em/seed-0/iter-1"]
    assert item.info.run_id != before  # MLflow changes no parameters
    assert item.data.params["method"] == "RFT"


def test_the_run_of_a_policy_that_was_made_again_stays_and_is_marked(spool: Path) -> None:
    publish("demo", RUNS, Tracking(), spool)
    again = run(key="another content", metrics={"test/pass@8": 0.75})
    assert publish("demo", [again], Tracking(), spool).outcomes == {"updated": 1}
    item = published(spool)["sums/S/rest-em/seed-0/iter-1"]
    assert item.data.tags["restem.key"] == "another content"
    assert item.data.metrics["test/pass_at_8"] == 0.75
    (old,) = [i for i in all_runs(spool) if "restem.superseded_by" in i.data.tags]
    assert old.data.tags["restem.superseded_by"] == item.info.run_id
    assert old.data.metrics["test/pass_at_8"] == 0.5
    publish("demo", RUNS, Tracking(), spool)  # turned back
    assert published(spool)["sums/S/rest-em/seed-0/iter-1"].info.run_id == old.info.run_id


def test_of_a_policy_that_was_made_again_while_the_server_was_down_the_last_is_sent(
    spool: Path,
) -> None:
    down = Tracking(uri=f"http://127.0.0.1:{closed_port()}")
    for key in ("c", "a", "b"):
        publish("demo", [run(key=key)], down, spool)
    assert spooled(spool) == 1
    assert publish("demo", [], Tracking(), spool).outcomes == {"created": 1}
    assert published(spool)["sums/S/rest-em/seed-0/iter-1"].data.tags["restem.key"] == "b"


def test_the_longest_names_that_a_study_may_have_are_published(spool: Path) -> None:
    study, names = "s" * 64, "/".join(["n" * 64] * 3)
    runs = [run(address=f"{names}/seed-{seed}/iter-1") for seed in (0, 1)]
    down = Tracking(uri=f"http://127.0.0.1:{closed_port()}")
    assert publish(study, runs, down, spool).waiting == spooled(spool) == 2


def test_another_policy_of_the_study_keeps_its_run(spool: Path) -> None:
    publish("demo", RUNS, Tracking(), spool)
    publish("demo", [run("rest", key="key-rest-em-1")], Tracking(), spool)
    assert {"sums/S/rest/seed-0/iter-1", *(i.address for i in RUNS)} < set(published(spool))


def test_a_run_that_was_cut_short_is_completed(spool: Path) -> None:
    runs = [replace(item, ended=1000.0) for item in RUNS]
    publish("demo", runs, Tracking(), spool)
    half = published(spool)["sums/S/rest-em/seed-0/iter-1"].info.run_id
    client(tracking_uri(Tracking(), spool)).delete_tag(half, "restem.digest")
    assert publish("demo", runs, Tracking(), spool).outcomes == {"updated": 1, "unchanged": 2}
    item = published(spool)["sums/S/rest-em/seed-0/iter-1"]
    assert item.info.run_id == half
    history = client(tracking_uri(Tracking(), spool)).get_metric_history(half, "loss")
    assert [(point.step, point.value) for point in history] == [(1, 2.0), (2, 1.5)]


def test_one_policy_under_two_addresses_is_two_runs(spool: Path) -> None:
    shared = [run(key="same"), run("rest", key="same")]
    assert publish("demo", shared, Tracking(), spool).outcomes == {"created": 2}
    assert publish("demo", shared, Tracking(), spool).outcomes == {"unchanged": 2}


def test_a_server_that_is_down_delays_nothing_and_loses_nothing(
    spool: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    down = Tracking(uri=f"http://name:secret@127.0.0.1:{closed_port()}")
    started = time.monotonic()
    publication = publish("demo", RUNS, down, spool)
    assert time.monotonic() - started < 10
    assert (publication.waiting, spooled(spool)) == (3, 3)
    (line,) = capsys.readouterr().out.splitlines()
    assert "3 in the spool" in line and "Connection refused" in line
    assert "secret" not in line
    again = publish("demo", [], Tracking(), spool)
    assert again.outcomes == {"created": 3}
    assert spooled(spool) == 0
    assert {item.address for item in RUNS} < set(published(spool))


def test_a_server_that_never_answers_is_abandoned(
    spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        uri = f"http://127.0.0.1:{listener.getsockname()[1]}"
        started = time.monotonic()
        publication = publish("demo", RUNS, Tracking(uri=uri), spool)
    assert time.monotonic() - started < 10
    assert (publication.waiting, spooled(spool)) == (3, 3)
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "1"
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ


def test_an_unsupported_uri_loses_no_run(spool: Path) -> None:
    publication = publish("demo", RUNS, Tracking(uri="gopher://x"), spool)
    assert publication.waiting == 3
    assert publication.trouble is not None and "gopher" in publication.trouble


def test_two_studies_on_one_server_do_not_mix(spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_uri(Tracking(), spool))
    other = spool.parents[1] / "other" / "spool"
    publish("demo", RUNS[:2], Tracking(), spool)
    assert publish("other", [run(tags={"of": "other"})], Tracking(), other).outcomes == {
        "created": 1
    }
    assert publish("demo", RUNS[:2], Tracking(), spool).outcomes == {"unchanged": 2}
    assert not (other.parent / "mlflow.db").exists()
    server = client(tracking_uri(Tracking(), spool))
    runs = server.search_runs([server.get_experiment_by_name("restem").experiment_id])
    by_id = {item.info.run_id: item for item in runs}
    policies = [item for item in runs if item.data.tags["restem.kind"] == "policy"]
    above = {
        item.info.run_name + item.data.tags.get("of", ""): study_above(item, by_id)
        for item in policies
    }
    assert above == {
        "sums/S/base/seed-0/iter-0": "demo",
        "sums/S/rest-em/seed-0/iter-1": "demo",
        "sums/S/rest-em/seed-0/iter-1other": "other",
    }


def study_above(item: Any, by_id: dict[str, Any]) -> str:
    lineage = by_id[item.data.tags["mlflow.parentRunId"]]
    return str(by_id[lineage.data.tags["mlflow.parentRunId"]].info.run_name)


def test_two_studies_in_one_spool_do_not_mix(spool: Path) -> None:
    publish("other", RUNS[:1], Tracking(uri=f"http://127.0.0.1:{closed_port()}"), spool)
    assert publish("demo", RUNS[1:], Tracking(), spool).outcomes == {"created": 2}
    assert [json.loads(f.read_text())["study"] for f in spool.glob("*.json")] == ["other"]


def test_artifacts_are_published_even_if_their_files_are_deleted(spool: Path) -> None:
    table = spool.parent / "table.md"
    table.write_text("| a |\n")
    down = Tracking(uri=f"http://127.0.0.1:{closed_port()}")
    publish("demo", [run(artifacts=[table])], down, spool)
    table.unlink()
    publish("demo", [], Tracking(), spool)
    folder = Path(published(spool)["sums/S/rest-em/seed-0/iter-1"].info.artifact_uri[7:])
    assert (folder / "table.md").read_text() == "| a |\n"
    assert folder.is_relative_to(spool.parent / "mlartifacts")


def test_a_faulty_run_does_not_hold_up_the_others(spool: Path) -> None:
    publication = publish("demo", [run(metrics={"x" * 300: 1.0}), *RUNS[2:]], Tracking(), spool)
    assert publication.outcomes == {"created": 1}
    assert (publication.waiting, spooled(spool)) == (1, 1)
    assert "iter-1 was refused" in publication.line


def test_a_damaged_spool_file_is_named(spool: Path) -> None:
    spool.mkdir()
    (spool / "demo--torn.json").write_text('{"study": "de')
    publication = publish("demo", RUNS[:1], Tracking(), spool)
    assert publication.outcomes["created"] == 1
    assert "demo--torn.json is damaged" in publication.line


def test_there_is_one_writer_at_a_time(spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "_WAIT_SECONDS", 0.0)
    spool.mkdir()
    with (spool / ".lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        publication = publish("demo", RUNS, Tracking(), spool)
    assert publication.waiting == 3
    assert "another process is publishing" in publication.line
    assert publish("demo", [], Tracking(), spool).outcomes == {"created": 3}


def test_disabled_tracking_touches_nothing(spool: Path) -> None:
    publish("demo", RUNS, Tracking(enabled=False), spool)
    assert not spool.exists()


@pytest.mark.parametrize(
    ("study", "changes"),
    [
        ("a study", {}),
        ("demo", {"metrics": {"pass@8": 1.0, "pass_at_8": 1.0}}),
        ("demo", {"metrics": {"loss": 1.0}}),
        ("demo", {"artifacts": [Path("missing.md")]}),
        ("demo", {"artifacts": [Path("large.bin")]}),
    ],
)
def test_runs_that_cannot_be_spooled_are_refused(
    study: str, changes: dict[str, Any], spool: Path
) -> None:
    Path("large.bin").write_bytes(bytes(6_000_000))
    with pytest.raises(RestemError):
        publish(study, [run(**changes)], Tracking(), spool)
    assert spooled(spool) == 0
