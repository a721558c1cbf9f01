"""Read a study: its YAML file, the method presets, the experiments and the claims."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from restem.config.base import merge
from restem.config.contradictions import contradictions, unmeasured_claims
from restem.config.data import DataSource, TaskData
from restem.config.errors import invalid, validate
from restem.config.models import Family
from restem.config.strict_yaml import read_yaml as read_yaml
from restem.config.study import UNCHECKED, Study
from restem.errors import RestemError

DEMO: Final = "config/demo.yaml"
BY_NAME: Final = ("tasks", "models", "decodings", "methods", "variants")


def load_study(
    config: Mapping[str, Any], folder: Path, files: Iterable[Path] = (), checked: bool = True
) -> Study:
    """Return the study that Snakemake's config states, laid over the file that it extends.

    files: those that Snakemake read the config from. They are read again, because it keeps the
    last of two equal keys. checked: whether contradictions between valid keys are refused, too;
    `known_contradictions` lists them. Raises RestemError with all problems at once.
    """
    for file in files:
        read_yaml(Path(file))
    stated = in_full(config, folder)
    own_claims = is_own(stated)
    stated = with_sources(with_experiments(stated, folder), folder)
    methods = {**presets(folder / "methods"), **stated.get("methods", {})}
    where = f"study {stated.get('study', '?')!r}"
    context = None if checked else UNCHECKED
    study = validate(Study, {**stated, "methods": methods}, where, context)
    if checked and own_claims and (problems := unmeasured_claims(study)):
        raise invalid(problems, where)
    return study


def in_full(config: Mapping[str, Any], folder: Path, above: tuple[str, ...] = ()) -> dict[str, Any]:
    """Lay a configuration over the file that it extends, mapping by mapping; null removes a name.

    Without `extends` and `study`, that is the demo. folder: config/ of the clone. above: the files
    that led here. Raises RestemError if a file extends itself or a file that cannot be read.
    """
    name = config.get("extends", None if "study" in config else DEMO)
    if name is None:
        return dict(config)
    path = folder.parent / str(name)
    if name in above or not isinstance(name, str):
        chain = " -> ".join(map(str, (*above, name)))
        raise RestemError(
            "a study can extend only the path of another study",
            f"extends: {chain}",
            "name a study file by its path from the root of the clone, and none that extends this",
        )
    if not path.is_file():
        raise RestemError(
            "the study that this one extends does not exist",
            str(path),
            "correct `extends`: a path from the root of the clone, such as config/demo.yaml",
        )
    return _laid_over(in_full(read_yaml(path), folder, (*above, name)), config)


def _laid_over(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Merge a study into the one that it extends; null removes a task, model or the like."""
    laid = merge(base, changes)
    laid.pop("extends", None)  # it is done
    for key in BY_NAME:
        before, after = base.get(key), laid.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            # A null that removes nothing stays, and is refused.
            laid[key] = {n: v for n, v in after.items() if v is not None or n not in before}
    return laid


def known_contradictions(study: Study, config: Mapping[str, Any]) -> list[str]:
    """Describe the contradictions of a study that was loaded unchecked.

    config: what states it, in full.
    """
    return [*contradictions(study), *(unmeasured_claims(study) if is_own(config) else ())]


def is_own(config: Mapping[str, Any]) -> bool:
    """Tell whether a study states claims itself; `claims: all` may leave some untested."""
    return isinstance(config.get("claims"), list)


def with_experiments(stated: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Replace the names of experiments and `claims: all` by what their files contain.

    Variants and evaluations of the experiments become those of the study, on the models that stand
    for theirs (`claim_models`). Raises RestemError if two experiments define one variant
    differently.
    """
    study = dict(stated)
    if study.get("claims") == "all":
        study["claims"] = read_yaml(folder / "paper" / "claims.yaml")["claims"]
    names = study.get("experiments")
    if not isinstance(names, list):
        return study
    paths = {name: folder / "paper" / "experiments" / f"{name}.yaml" for name in names}
    stated_models = study.get("claim_models")
    stand_ins = stated_models if isinstance(stated_models, Mapping) else {}
    experiments = {n: _with_stand_ins(read_yaml(path), stand_ins) for n, path in paths.items()}
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


def _with_stand_ins(experiment: dict[str, Any], stand_ins: Mapping[str, Any]) -> dict[str, Any]:
    """Return an experiment with each model that it names replaced by that of its task."""
    variants, figures = experiment.get("variants") or {}, experiment.get("figures") or {}
    blocks = [(block, [block.get("task")]) for block in variants.values()]
    blocks += [(block, [block.get("task")]) for block in experiment.get("evaluations") or []]
    blocks += [(block, block.get("tasks") or []) for block in figures.values()]
    for block, tasks in blocks:
        if block.get("models"):
            names = [n if isinstance(n := stand_ins.get(t), Mapping) else {} for t in tasks]
            found = (by_name.get(m, m) for by_name in names for m in block["models"])
            block["models"] = list(dict.fromkeys(found)) or block["models"]
    return experiment


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
    """Read published numbers: `entries` with task, value, label and source; `publications`.

    And what is known of base models: `families`.
    """
    published = read_yaml(folder / "paper" / "published.yaml")
    return {**published, "families": load_families(folder)}


def load_families(folder: Path) -> dict[str, Family]:
    """Read what is known of families of base models, by their names."""
    path = folder / "models" / "families.yaml"
    stated = read_yaml(path)["families"]
    return {name: validate(Family, block, f"{path}: {name}") for name, block in stated.items()}


def presets(folder: Path) -> dict[str, Any]:
    """Read every method preset in a folder, by file name."""
    return {path.stem: read_yaml(path) for path in sorted(folder.glob("*.yaml"))}
