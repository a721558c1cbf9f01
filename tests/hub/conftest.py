"""The stand-in with all data sets, and the real client of the hub in processes of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hub.layouts import ROWS, repository
from tests.hub.server import Hub, Repository, serve

Read = Callable[..., str]

READ = """
import hashlib, json, os, sys, tempfile
from pathlib import Path
from restem.config.data import TaskData
from restem.config.models import HubModel
from restem.errors import RestemError
from restem.policies.sources import hub
from restem.tasks.registry import load_task
from restem.tasks.splits import load_split
for asked in json.loads(sys.argv[1]):
    try:
        if asked["task"] == "model":
            model = HubModel.model_validate(asked["data"])
            checkpoint = Path(tempfile.mkdtemp())
            hub.fetch(model, checkpoint)
            print(sorted(path.name for path in checkpoint.iterdir()))
            continue
        data = TaskData.model_validate(asked["data"])
        loaded = load_split(load_task(asked["task"]), data, asked["split"])
        print(len(loaded.problems), json.dumps(loaded.dropped, sort_keys=True), end="")
        fields = [(p.question, p.answer, p.level, p.subject, p.solutions) for p in loaded.problems]
        content = sorted(fields, key=str)  # ties in the order of questions are decided by ids
        digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()
        print(f" {digest}" if os.environ.get("PRINT_CONTENT") else "")
    except RestemError as error:
        print(error)
"""


@pytest.fixture(scope="session")
def repositories() -> dict[str, Repository]:
    return dict(repository(task) for task in ROWS)


@pytest.fixture
def hub(repositories: dict[str, Repository]) -> Iterator[Hub]:
    with serve(repositories) as served:
        yield served


@pytest.fixture
def read(hub: Hub, tmp_path: Path) -> Read:
    """Return a function that reads splits, or models, in a new process and returns what it prints.

    In a process, because the hub's client reads its settings once, when it is imported.
    """

    def run(*asked: tuple[str, str, dict[str, Any]], **environment: str) -> str:
        source = str(Path(__file__).parents[2] / "src")
        online = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "hf"), "NO_PROXY": "*"}
        quiet = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
        ours = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "RESTEM_"))}
        settings = {**ours, **online, **quiet, "PYTHONPATH": source, **environment}
        settings = {key: value for key, value in settings.items() if value}
        splits = [{"task": task, "split": split, "data": data} for task, split, data in asked]
        command = [sys.executable, "-c", READ, json.dumps(splits)]
        done = subprocess.run(command, env=settings, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
