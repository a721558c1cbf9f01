"""Read a study: its YAML, the method presets beside it, and the defaults of the demo."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from restem.config.base import merge
from restem.config.errors import validate
from restem.config.study import Study
from restem.errors import RestemError

__all__ = [
    "load_published",
    "load_study",
    "merge",
    "presets",
    "read_yaml",
    "schema",
    "with_experiments",
]


def load_study(config: Mapping[str, Any], folder: Path) -> Study:
    """Return the study that Snakemake's config names; the demo where it names none.

    Keys given on top of no study change the demo. Raises RestemError with all problems at once.
    """
    stated = dict(config) if "study" in config else merge(read_yaml(folder / "demo.yaml"), config)
    stated = with_experiments(stated, folder)
    methods = {**presets(folder / "methods"), **stated.get("methods", {})}
    return validate(Study, {**stated, "methods": methods}, f"study {stated.get('study', '?')!r}")


def with_experiments(stated: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Add what the named experiments train and measure, and the claims.

    Raises RestemError when two experiments mean different things by one name.
    """
    study = dict(stated)
    if study.get("claims") == "all":
        study["claims"] = read_yaml(folder / "paper" / "claims.yaml")["claims"]
    named = study.get("experiments")
    if not isinstance(named, list):
        return study
    places = {name: folder / "paper" / "experiments" / f"{name}.yaml" for name in named}
    found = {name: read_yaml(place) for name, place in places.items()}
    variants = dict(study.get("variants") or {})
    evaluations = list(study.get("evaluations") or [])
    for name, experiment in found.items():
        for variant, content in (experiment.get("variants") or {}).items():
            if variants.setdefault(variant, content) != content:
                raise RestemError(
                    f"variant {variant!r} is another one elsewhere in this study",
                    str(places[name]),
                    "give it the same content, or another name",
                )
        evaluations += experiment.get("evaluations") or []
    different = [e for i, e in enumerate(evaluations) if e not in evaluations[:i]]
    return study | {"experiments": found, "variants": variants, "evaluations": different}


def load_published(folder: Path) -> dict[str, Any]:
    """Read what papers state: `entries` with task, value, label and source; `publications`."""
    return read_yaml(folder / "paper" / "published.yaml")


def presets(folder: Path) -> dict[str, Any]:
    """Read every method preset of a folder; the file's name is the method's."""
    return {path.stem: read_yaml(path) for path in sorted(folder.glob("*.yaml"))}


def read_yaml(path: Path) -> dict[str, Any]:
    """Read one YAML mapping."""
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as problem:
        raise RestemError(
            f"the YAML file cannot be read: {problem}", str(path), "correct it"
        ) from problem
    if not isinstance(content, dict):
        raise RestemError("the YAML file is not a mapping", str(path), "start it with `study:`")
    return content


def schema() -> str:
    """Return the JSON schema of a study file, as config/schema.json holds it."""
    return json.dumps(Study.model_json_schema(), indent=2, sort_keys=True) + "\n"
