"""What a run of Snakemake says to its warm processes: which there are, and when they end."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from restem.deployment.engines import gpu_is_visible
from restem.stages.declaration import load_stage, stage_names
from restem.warm.client import RUN, VARIABLE, since

_WITH_MODELS = ("model", "training")  # families of locked packages with torch and transformers
_OFF = "no"
_folders: list[Path] = []  # of this process's runs


def start(jobs_are_here: bool = True) -> None:
    """Let the jobs of this process start warm, unless RESTEM_WARM=no; call `stop` at the end.

    jobs_are_here: whether they run on this machine, outside images; otherwise they start cold.
    """
    if os.environ.get(VARIABLE) == _OFF:
        return
    os.environ.pop(VARIABLE, None)  # that of a run in which this one was started
    if not jobs_are_here:
        return
    folder = Path(tempfile.mkdtemp(prefix="restem-warm-"))
    _folders.append(folder)
    owner = {"process": os.getpid(), "since": since(os.getpid())}
    about = {"owner": owner, "stages": dict(_warm_stages())}
    (folder / RUN).write_text(json.dumps(about))
    os.environ[VARIABLE] = str(folder)


def _warm_stages() -> Iterator[tuple[str, str]]:
    """Yield each stage that starts warm, with the packages that it needs.

    With a GPU, what loads a model starts cold: CUDA cannot be used in a fork of a process that has
    looked for devices, as transformers may do when it is imported.
    """
    for name in stage_names():
        stage = load_stage(name)
        loads_model = stage.lock in _WITH_MODELS or bool(stage.engine)
        if not (loads_model and gpu_is_visible()):
            yield name.replace("_", "-"), "model" if loads_model else "data"


def stop() -> None:
    """Let no more jobs start warm; a warm process ends when its owner or its folder is gone."""
    if _folders:
        os.environ.pop(VARIABLE, None)
    while _folders:
        shutil.rmtree(_folders.pop(), ignore_errors=True)
