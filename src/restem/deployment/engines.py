"""Decide once in a run what `engine: {name: auto}` stands for; jobs are told the answer.

The engine is a part of the recipe of completions. So a run and its jobs have to agree, also where a
job sees other devices than the login node. The main process decides, and hands the answer on in an
environment variable.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, cast, get_args

from restem.config.models import EmbeddedModel, Model
from restem.config.study import Study
from restem.deployment import invocation
from restem.deployment.site import Site, site_path
from restem.errors import RestemError

Name = Literal["transformers", "vllm"]
VARIABLE: Final = "RESTEM_ENGINE"
SAMPLING: Final = "draw_samples"  # the rule whose resources tell


@dataclass(frozen=True)
class Choice:
    """An engine, and why it was chosen."""

    name: Name
    reason: str


def choose(site: Site, workflow: Any) -> Choice:
    """Return what `auto` stands for in a run: vLLM where sampling jobs have a GPU.

    workflow: Snakemake's. In a job, the answer is that of the run. Raises RestemError if a job was
    not told.
    """
    if not workflow.is_main_process:
        return _told()
    choice = _choose(site, workflow)
    os.environ[VARIABLE] = choice.name
    return choice


def _choose(site: Site, workflow: Any) -> Choice:
    settings = workflow.resource_settings
    # Only where jobs may be remote is Snakemake asked for its executor.
    return choose_for(
        site,
        settings.overwrite_resources.get(SAMPLING, {}),
        lambda: settings.nodes is not None and invocation.is_remote(),
    )


def choose_for(site: Site, resources: Mapping[str, Any], is_remote: Callable[[], bool]) -> Choice:
    """Return what `auto` stands for.

    resources: of the sampling rule, as a profile states them. is_remote: whether its jobs run on
    other machines.
    """
    if site.engine is not None:
        return Choice(site.engine, f"{site_path()} says so")
    if asks_for_gpu(resources):
        return Choice("vllm", f"the profile gives {SAMPLING} a GPU")
    if not gpu_is_visible():
        return Choice("transformers", "there is no GPU here, and no profile gives one")
    if is_remote():
        return Choice("transformers", f"the profile gives {SAMPLING} no GPU")
    return Choice("vllm", "this machine has a GPU")


def _told() -> Choice:
    name = os.environ.get(VARIABLE)
    if name not in get_args(Name):
        raise RestemError(
            "this job was not told with which engine its run samples",
            f"the environment variable {VARIABLE}",
            "let SLURM hand the environment on to jobs (sbatch --export=ALL)",
        )
    return Choice(cast(Name, name), "the run says so")


def asks_for_gpu(resources: Mapping[str, Any]) -> bool:
    """Tell whether the resources of a rule include a GPU; an expression for some jobs counts."""
    stated = {name: str(getattr(amount, "raw", amount)) for name, amount in resources.items()}
    by_slurm = f"{stated.get('gres')} {stated.get('slurm_extra')}"
    return "gpu" in by_slurm or stated.get("gpu", "0").strip() not in ("0", "", "None")


def gpu_is_visible() -> bool:
    """Tell whether this machine has an NVIDIA GPU that processes may use."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    return not hidden and any(Path("/dev").glob("nvidia[0-9]*"))


def with_engines(study: Study, choice: Choice) -> Study:
    """Return a study in which every model names its engine."""
    models = {name: _with_engine(model, choice) for name, model in study.models.items()}
    return study.model_copy(update={"models": models})


def _with_engine(model: Model, choice: Choice) -> Model:
    engine = model.engine.model_copy(update={"name": _of_model(model, choice).name})
    engine = engine.model_copy(update={"seeds": engine.decided_seeds})
    return model.model_copy(update={"engine": engine})


def _of_model(model: Model, choice: Choice) -> Choice:
    stated = model.engine.name
    if stated != "auto":
        return Choice(stated, "the study says so")
    if isinstance(model.source, EmbeddedModel):
        return Choice("transformers", "an embedded model")
    if model.engine.device == "cpu":
        return Choice("transformers", "device: cpu")
    return choice


def in_words(study: Study, choice: Choice) -> str:
    """Say which engine every model of a study is sampled with, and why."""
    models: dict[tuple[str, str], list[str]] = {}
    for name, model in study.models.items():
        engine, reason = _with_engine(model, choice).engine, _of_model(model, choice).reason
        seeds = " with seeds: engine" if engine.seeds == "engine" else ""
        models.setdefault((f"{engine.name}{seeds}", reason), []).append(name)
    parts = (f"{c} for {', '.join(names)} ({reason})" for (c, reason), names in models.items())
    return f"engine: {'; '.join(parts)}"


def slow_on_this_cpu(study: Study) -> str | None:
    """Say which models compute in bfloat16 where jobs have only a CPU without it, if any do.

    Emulated, it took 4 to 7 times as long as float32 (SmolLM2-135M on a CPU with AVX2).
    """
    if gpu_is_visible() or cpu_has_bfloat16():
        return None
    names = [name for name, model in study.models.items() if model.engine.dtype == "bfloat16"]
    trained = sorted(
        {
            model
            for variant, stated in study.variants.items()
            for model in study.models_on(stated.task, stated.models)
            if study.training_of(variant, model).dtype == "bfloat16"
        }
    )
    if not names and not trained:
        return None
    keys = [f"models.{name}.engine.dtype" for name in names]
    keys += [f"training.dtype of {', '.join(trained)}"] if trained else []
    return (
        "this CPU has no bfloat16 and emulates it, several times slower than float32: "
        f"{'; '.join(keys)}"
    )


def cpu_has_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Tell whether this CPU computes in bfloat16, or AVX-512 emulates it well; True if unknown."""
    try:
        words = set(cpuinfo.read_text().split())
    except OSError:
        return True
    known = "avx" in words or "asimd" in words
    return not known or bool(words & {"avx512f", "avx512_bf16", "amx_bf16", "bf16"})
