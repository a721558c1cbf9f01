"""Kill the M-step at random moments, run it again, and compare the bytes with a whole run's.

Twenty runs with the embedded model S on the demo's task; the state is saved after every step. A
kill after the end of a run does not count.
"""

import hashlib
import os
import random
import shutil
import signal
import tempfile
import time
from pathlib import Path

import transformers

from restem.config.data import EmbeddedSource
from restem.config.models import EmbeddedModel
from restem.config.training import Training
from restem.policies.sources import embedded
from restem.tasks.registry import load_task
from restem.tasks.sources import Reader
from restem.tasks.task import few_shot_prefix
from restem.training.examples import Example
from restem.training.loop import fine_tune
from restem.training.state import StateStore

KILLS = 20
SETTINGS = Training(learning_rate=4e-4, epochs_max=2, batch_size=8, pass_tokens=512, patience=99)


def main() -> None:
    """Print how many of the killed runs gave the bytes of the whole one."""
    transformers.utils.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        embedded.fetch(EmbeddedModel(kind="embedded", size="S"), folder / "base")
        train(folder, "whole")  # the first run also loads libraries
        start = time.monotonic()
        train(folder, "whole")
        duration = time.monotonic() - start
        rng, equal, resumed = random.Random(0), 0, 0
        for number in range(KILLS):
            part = f"part-{number}"
            while not killed(folder, part, rng.random() * duration):
                pass
            resumed += any((folder / f"{part}.state").glob("*.pt"))
            train(folder, part)
            equal += content(folder / part) == content(folder / "whole")
            print(f"kill {number + 1}: {equal} equal so far", flush=True)
    print(f"bench resume: kills={KILLS} equal={equal} with_a_saved_state={resumed}")
    if equal != KILLS:
        raise SystemExit(1)


def examples() -> list[Example]:
    """Return human solutions of the demo's task."""
    task = load_task("chain")
    reader = Reader(EmbeddedSource(kind="embedded"), {})
    prefix = few_shot_prefix(task, task.load(reader, "shots")[:1])
    problems = task.load(reader, "train")[:32]
    return [
        Example(prefix, task.question(p.question), task.answer(p.solutions["careful"]), 1.0)
        for p in problems
    ]


def train(folder: Path, name: str) -> None:
    """Run to the end, from the saved state if there is one."""
    start, store = folder / "base", StateStore(folder / f"{name}.state", name, 0.0)
    fine_tune(start, examples(), SETTINGS, 0, 1, lambda *_: 0.0, folder / name, str, store=store)
    shutil.rmtree(store.folder)


def killed(folder: Path, name: str, seconds: float) -> bool:
    """Run in a child process and kill it after some seconds; tell whether it was still running."""
    child = os.fork()
    if not child:
        train(folder, name)
        os._exit(0)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if os.waitpid(child, os.WNOHANG)[0]:
            return False
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1] == signal.SIGKILL


def content(path: Path) -> dict[str, str]:
    """Return the digests of a checkpoint's files."""
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in path.iterdir()}


if __name__ == "__main__":
    main()
