"""What a run of Snakemake says to its warm processes: which there are, and when they end."""

import json
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from restem.stages.declaration import load_stage, stage_names
from restem.warm.client import RUN, VARIABLE

_WITH_MODELS = ("model", "training")  # families of locked packages with torch and transformers
_OFF = "no"


def start() -> None:
    """Let the jobs of this process start warm, unless RESTEM_WARM=no; call `stop` at the end."""
    if os.environ.get(VARIABLE) == _OFF:
        return
    folder = Path(tempfile.mkdtemp(prefix="restem-warm-"))
    stages = {name: load_stage(name) for name in stage_names()}
    warm = {
        name.replace("_", "-"): "model" if stage.lock in _WITH_MODELS or stage.engine else "data"
        for name, stage in stages.items()
    }
    about = {"owner": os.getpid(), "stages": warm}
    (folder / RUN).write_text(json.dumps(about))
    os.environ[VARIABLE] = str(folder)


def stop() -> None:
    """Let no more jobs start warm; a warm process ends when its owner or its folder is gone."""
    folder = os.environ.pop(VARIABLE, _OFF)
    if folder != _OFF:
        with suppress(OSError):
            shutil.rmtree(folder)
