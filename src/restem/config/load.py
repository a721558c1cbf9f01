"""Read a study: its YAML file, the method presets, the experiments and the claims."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from restem.config.base import merge
from restem.config.contradictions import unmeasured_claims
from restem.config.data import DataSource, TaskData
from restem.config.errors import invalid, validate
from restem.config.strict_yaml import read_yaml as read_yaml
from restem.config.study import Study
from restem.errors import RestemError


def load_study(config: Mapping[str, Any], folder: Path, files: Iterable[Path] = ()) -> Study:
    """Return the study that Snakemake's config states; without a `study`, the demo with changes.

    files: those that Snakemake read the config from. They are read again, because it keeps the
    last of two equal keys. Raises RestemError with all problems at once.
    """
    for file in files:
        read_yaml(Path(file))
    stated = dict(config) if "study" in config else merge(read_yaml(folder / "demo.yaml"), config)
    own_claims = isinstance(stated.get("claims"), list)  # `all` may leave some untested
    stated = with_sources(with_experiments(stated, folder), folder)
    methods = {**presets(folder / "methods"), **stated.get("methods", {})}
    where = f"study {stated.get('study', '?')!r}"
    study = validate(Study, {**stated, "methods": methods}, where)
    if own_claims and (problems := unmeasured_claims(study)):
        raise invalid(problems, where)
    return study


def with_experiments(stated: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Replace the names of experiments and `claims: all` by what their files contain.

    Variants and evaluations of the experiments become those of the study. Raises RestemError if
    two experiments define one variant differently.
    """
    study = dict(stated)
    if study.get("claims") == "all":
        study["claims"] = read_yaml(folder / "paper" / "claims.yaml")["claims"]
    names = study.get("experiments")
    if not isinstance(names, list):
        return study
    paths = {name: folder / "paper" / "experiments" / f"{name}.yaml" for name in names}
    experiments = {name: read_yaml(path) for name, path in paths.items()}
    variants = dict(study.get("variants") or {})
    evaluations = list(study.get("evaluations") or [])
    for name, experiment in experiments.items():
        for variant, content in (experiment.get("variants") or {}).items():
            if variants.setdefault(variant, content) != content:
                raise RestemError(
                    f"variant {variant!r} is defined differently elsewhere in this study",
                    str(paths[name]),
                    "give it the same content, or another name",
                )
        evaluations += experiment.get("evaluations") or []
    different = [e for i, e in enumerate(evaluations) if e not in evaluations[:i]]
    return study | {"experiments": experiments, "variants": variants, "evaluations": different}


def with_sources(stated: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Give the tasks that name no source the public one of their module, in tasks/sources.yaml.

    One that names this very data set, at the same commit, may leave the rest of it out.
    """
    study, tasks = dict(stated), stated.get("tasks")
    if not isinstance(tasks, Mapping):
        return study
    public = read_yaml(folder / "tasks" / "sources.yaml")["sources"]
    study["tasks"] = {name: _with_source(name, task, public) for name, task in tasks.items()}
    return study


def public_source(module: str, folder: Path) -> DataSource:
    """Return the public source of a task's module."""
    stated = read_yaml(folder / "tasks" / "sources.yaml")["sources"][module]
    return validate(TaskData, {"source": stated}, f"the public source of {module}").source


def _with_source(name: str, task: Any, public: Mapping[str, Any]) -> Any:
    data = task.get("data") if isinstance(task, Mapping) else ()
    if data is None:
        data = {}
    if not isinstance(data, Mapping):
        return task  # what is wrong with it is said when the study is validated
    source, module = data.get("source"), task.get("module") or name
    known = public.get(module) if isinstance(module, str) else None
    if known is None:
        return task
    if source is None:
        source = known
    elif isinstance(source, Mapping) and all(
        source.get(key) == known.get(key) for key in ("kind", "id", "revision", "package")
    ):
        source = {**known, **source}
    return {**task, "data": {**data, "source": source}}


def load_published(folder: Path) -> dict[str, Any]:
    """Read published numbers: `entries` with task, value, label and source; `publications`."""
    return read_yaml(folder / "paper" / "published.yaml")


def presets(folder: Path) -> dict[str, Any]:
    """Read every method preset in a folder, by file name."""
    return {path.stem: read_yaml(path) for path in sorted(folder.glob("*.yaml"))}


def schema() -> str:
    """Return the JSON schema of a study file, as written to config/schema.json."""
    return json.dumps(Study.model_json_schema(), indent=2, sort_keys=True) + "\n"
