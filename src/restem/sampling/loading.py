"""Load a policy into the engine that the configuration names."""

import importlib
import resource
from pathlib import Path

import torch

from restem.config.models import EngineSettings
from restem.sampling.engine import Engine


def load_engine(checkpoint: Path, settings: EngineSettings, threads: int) -> Engine:
    """Return an engine that holds the checkpoint; progress bars are left to the stage."""
    module = importlib.import_module(f"restem.sampling.{settings.name}.engine")
    engine: Engine = module.load(checkpoint, settings, threads)
    return engine


def device(wanted: str) -> str:
    """Return the device that a setting means on this machine."""
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return wanted


def dtype(settings: EngineSettings) -> torch.dtype:
    """Return the type of weights that a setting means."""
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[settings.dtype]


def is_out_of_memory(problem: BaseException) -> bool:
    """Tell whether an error says that memory ran out; torch's CPU allocator says it in words."""
    words = ("can't allocate memory", "not enough memory", "out of memory")
    named = isinstance(problem, torch.OutOfMemoryError | MemoryError)
    return named or any(word in str(problem) for word in words)


def peak_memory_bytes(device_type: str) -> int:
    """Return the most memory that was in use: of this process on its GPU, or on the CPU."""
    if device_type == "cuda":
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
