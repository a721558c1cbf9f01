"""Load a policy into an engine the way the configuration says."""

from contextlib import suppress
from pathlib import Path

import torch
import transformers

from restem.config.models import EngineSettings
from restem.sampling.engine import Engine
from restem.sampling.transformers_engine import TransformersEngine

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def load_engine(checkpoint: Path, settings: EngineSettings, threads: int) -> Engine:
    """Return an engine that holds the checkpoint; progress bars are left to the stage."""
    transformers.utils.logging.disable_progress_bar()
    with suppress(RuntimeError):  # torch takes this setting once a process
        torch.set_num_interop_threads(1)
    torch.set_num_threads(threads)
    return TransformersEngine.load(
        checkpoint, settings.rows, device(settings.device), _DTYPES[settings.dtype]
    )


def device(wanted: str) -> str:
    """Return the device that a setting means on this machine."""
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return wanted
