"""A study is seen in MLflow while it trains, and later as its users expect; a server may be away.

The server is MLflow's own, on loopback, and its page is looked at in a real browser.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from tests.conftest import once

pytestmark = pytest.mark.workflow

SFT = "chain/T/sft-terse/seed-0/iter-1"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def server(folder: Path, address: str) -> Iterator[str]:
    """Run an MLflow server at an address until the block ends."""
    folder.mkdir(exist_ok=True)
    host, _, port = address.removeprefix("http://").partition(":")
    command = [sys.executable, "-m", "mlflow", "server", "--host", host, "--port", port]
    command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=environment)
        try:
            while not answers(address):
                assert process.poll() is None, (folder / "server.log").read_text()
                time.sleep(0.5)
            yield address
        finally:
            process.terminate()
            process.wait()


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def runs(address: str) -> dict[str, Any]:
    client = MlflowClient(tracking_uri=address)
    experiment = client.get_experiment_by_name("restem")
    found = client.search_runs([experiment.experiment_id]) if experiment else []
    return {run.info.run_name: run for run in found}


def content(address: str) -> dict[str, Any]:
    """Return what a server holds, without ids."""
    client, held = MlflowClient(tracking_uri=address), {}
    for name, run in runs(address).items():
        tags = {k: v for k, v in run.data.tags.items() if k.startswith("restem.") or k == "note"}
        curves = {
            metric: {(m.step, m.value) for m in client.get_metric_history(run.info.run_id, metric)}
            for metric in run.data.metrics
        }
        files = sorted(f.path for f in client.list_artifacts(run.info.run_id))
        data = sorted((d.dataset.name, d.dataset.digest) for d in run.inputs.dataset_inputs)
        times = run.info.status, run.info.start_time, run.info.end_time
        times = times if tags["restem.kind"] == "policy" else times[:1]  # of others: the first seen
        held[name] = (times, run.data.params, tags, curves, files, data)
    return held


@pytest.fixture(scope="module")
def tracked(shared: Path, finished: Any) -> Path:
    """Return the folder of a study whose policies were made again, with the server up.

    Its copy is published to a server that was away at first.
    """

    def run(folder: Path) -> None:
        folder.mkdir()
        address = f"http://127.0.0.1:{free_port()}"
        up = finished.copy(folder / "up")
        up.configure(lambda study: change(study, address))
        with server(folder / "server-up", address):
            up.make("policies")  # nothing is published by this target
            deadline = time.monotonic() + 300
            while (run := runs(address).get(SFT)) is None or run.info.status != "FINISHED":
                assert time.monotonic() < deadline, (up.results / "tracking/follow.log").read_text()
                time.sleep(0.5)  # what follows the trainings ends soon after the run
            (folder / "followed").write_text(json.dumps([run.data.params, run.data.metrics]))
            up.make()
        away = up.copy(folder / "away")
        shutil.rmtree(away.results / "tracking")
        away.make()
        assert list((away.results / "tracking/spool").glob("*.json"))
        with server(folder / "server-away", address):
            away.make("--forcerun", "publish_runs")

    return once(shared, "tracked", run)


def change(study: dict[str, Any], address: str) -> None:
    study["tracking"] = {"uri": address}
    study["training"]["learning_rate"] = 0.002


@pytest.fixture
def serve(tracked: Path) -> Iterator[Callable[[str], str]]:
    """Serve what was published of a study again."""
    with ExitStack() as servers:
        yield lambda name: servers.enter_context(
            server(tracked / f"server-{name}", f"http://127.0.0.1:{free_port()}")
        )


def test_trainings_are_seen_before_anything_is_published(tracked: Path) -> None:
    params, metrics = json.loads((tracked / "followed").read_text())
    assert params["training.learning_rate"] == "0.002"
    assert metrics.keys() >= {"loss", "learning_rate", "gradient_norm", "tokens_per_second"}
    assert not any(name.startswith("accuracy") for name in metrics)


def test_a_server_that_was_away_all_along_gets_the_same_runs(serve: Callable[[str], str]) -> None:
    up, away = content(serve("up")), content(serve("away"))
    assert up == away
    (status, *_), params, _tags, curves, files, data = up[SFT]
    assert status == "FINISHED"
    assert params["method"] == "sft-terse" and params["selection.human"] == "terse"
    assert {step for step, _ in curves["learning_rate"]} == {step for step, _ in curves["loss"]}
    assert curves.keys() >= {"gradient_norm", "validation_reward", "accuracy.chain.test.greedy.low"}
    assert "model" in files and len(data) == 2
    assert {"table.md", "accuracy_by_iteration.png", "changed_problems.json"} <= set(up["tiny"][4])
    assert not any("superseded" in tag for run in up.values() for tag in run[2])


def test_mlflows_own_page_shows_the_study(serve: Callable[[str], str], tmp_path: Path) -> None:
    address = serve("up")
    run = runs(address)[SFT]
    page = f"{address}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"
    shown = subprocess.run(
        ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
        + ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
        + [f"--user-data-dir={tmp_path}", "--virtual-time-budget=60000", "--dump-dom", page],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    ).stdout
    text = re.sub(r"<[^>]+>", " ", shown)
    assert SFT in text and "Finished" in text
    assert "accuracy.chain.test.greedy" in text and "training.learning_rate" in text
