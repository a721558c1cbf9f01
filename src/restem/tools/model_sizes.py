"""Numbers of parameters of a study's models, as far as they are known without a network."""

from collections.abc import Mapping
from pathlib import Path

from restem.config.models import (
    PACKAGED,
    EmbeddedModel,
    Family,
    HubModel,
    LocalModel,
    Model,
    PackageModel,
    family_of,
)
from restem.config.study import Study
from restem.embedded import weights
from restem.errors import RestemError
from restem.policies.manifest import count_parameters
from restem.policies.sources import hub


def parameters_of(study: Study, families: Mapping[str, Family]) -> dict[str, float]:
    """Return the number of parameters by model: of its files, or else of the known families.

    A model that is neither here nor known is left out.
    """
    known = {name: _parameters(model, families) for name, model in study.models.items()}
    return {name: count for name, count in known.items() if count}


def _parameters(model: Model, families: Mapping[str, Family]) -> float | None:
    source = model.source
    if isinstance(source, EmbeddedModel):
        return float(weights.recipe(source.size)["parameters"])
    if isinstance(source, PackageModel):
        return float(PACKAGED[source.package].parameters)
    if isinstance(source, LocalModel):
        return _counted(source.directory)
    return _of_hub(source) or _of_family(model, source, families)


def _of_hub(source: HubModel) -> float | None:
    try:
        return _counted(hub.download(source, local_only=True))
    except RestemError:
        return None


def _of_family(model: Model, source: HubModel, families: Mapping[str, Family]) -> float | None:
    name = family_of(model, families)
    return float(families[name].models[source.id]) if name else None


def _counted(folder: Path) -> float | None:
    try:
        return float(sum(map(count_parameters, folder.glob("*.safetensors")))) or None
    except RestemError:
        return None
