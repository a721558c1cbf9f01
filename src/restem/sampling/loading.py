"""Load a policy into the engine that the configuration names."""

import importlib
import resource
from pathlib import Path

import torch

from restem.config.models import EngineSettings
from restem.errors import RestemError
from restem.sampling.engine import Engine


def load_engine(
    checkpoint: Path, settings: EngineSettings, threads: int, seed: int = 0, replicas: int = 1
) -> Engine:
    """Return an engine with the checkpoint loaded.

    seed: of 32 bits, for the engine's own stream of random numbers; only with `seeds: engine`.
    replicas: how many copies of the engine divide the problems among them; only of vllm.
    """
    if replicas > 1 and settings.name != "vllm":
        raise RestemError(
            f"{settings.name} samples in one process",
            f"--replicas {replicas}",
            "leave it out, use several shards, or the engine vllm",
        )
    module = importlib.import_module(f"restem.sampling.{settings.name}.engine")
    own = {"seed": seed} if settings.seeds == "engine" else {}
    own |= {"replicas": replicas} if replicas > 1 else {}
    engine: Engine = module.load(checkpoint, settings, threads, **own)
    return engine


def device(setting: str) -> str:
    """Return the device that a setting stands for on this machine."""
    if setting == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return setting


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that memory ran out; torch's CPU allocator says so in words."""
    phrases = ("can't allocate memory", "not enough memory", "out of memory")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(
        phrase in str(error) for phrase in phrases
    )


def peak_memory_bytes(device: torch.device | str) -> int:
    """Return the peak memory: of this process on its GPU, or of the process on a CPU."""
    if torch.device(device).type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def memory_in_use(device: torch.device) -> dict[str, float]:
    """Return the memory in use [MB] under MLflow's names: of this process, and on its GPU."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    memory = {"system/process_memory_megabytes": pages * resource.getpagesize() / 1e6}
    if device.type == "cuda":
        memory["system/gpu_memory_megabytes"] = torch.cuda.memory_allocated(device) / 1e6
    return memory
