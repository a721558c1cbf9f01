"""Which code and which locked environment each stage runs: the two digests besides its settings.

Tasks, verifiers, figures, engines and sources of models are loaded by name, which no import shows,
so they are named here.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from restem.artifacts.digests import lock_digest

# stage -> lock file in envs/; a change there makes exactly these stages stale
FAMILIES = {
    "problems": "data",
    "overlap": "data",
    "base": "model",
    "samples": "model",
    "search": "model",
    "rewards": "data",
    "sheet": "data",
    "points": "data",
    "examples": "data",
    "policy": "training",
    "frozen": "model",
    "metrics": "report",
    "summary": "report",
    "figure": "report",
    "breakdown": "report",
    "recheck": "audit",
    "audits": "report",
    "claims": "report",
    "costs": "report",
    "ledger": "report",
    "plot": "report",
    "methods": "report",
    "page": "report",
    "table": "report",
    "tracking": "report",
}

DRAWING = ("samples", "search", "frozen")  # the stages that load the study's engine


def modules(stage: str, settings: Mapping[str, Any]) -> list[str]:
    """Return the modules whose import closure is the code of a stage under some settings."""
    plugins = [
        f"restem.{room}.{settings[key]}"
        for key, room in (("task", "tasks"), ("verifier", "rewards"), ("figure", "figures"))
        if key in settings and stage != "metrics"  # which has the name of a task, not its module
    ]
    if "source" in settings:
        plugins.append(f"restem.policies.sources.{settings['source']['kind']}")
    if stage in DRAWING:
        plugins.append(f"restem.sampling.{_engine(settings)}.engine")
    return [f"restem.stages.{stage}", *plugins]


def family(stage: str, settings: Mapping[str, Any]) -> str:
    """Return the family of locked packages that a stage needs under some settings.

    vLLM leads its own resolution, and its CPU and GPU builds need other versions of torch.
    """
    if stage in DRAWING and _engine(settings) == "vllm":
        return "vllm-cpu" if settings["engine"].get("device") == "cpu" else "vllm"
    return FAMILIES[stage]


def environment(stage: str, settings: Mapping[str, Any], folder: Path) -> str:
    """Return the digest of the locked environment that a stage runs in under some settings."""
    return lock_digest(folder / f"{family(stage, settings)}.txt")


def _engine(settings: Mapping[str, Any]) -> str:
    return str(settings.get("engine", {}).get("name", "transformers"))
