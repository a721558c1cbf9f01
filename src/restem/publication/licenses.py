"""Under which licenses a study's models and data may be passed on."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from restem.config.load import read_yaml
from restem.config.models import EmbeddedModel, HubModel, LocalModel, Model, PackageModel
from restem.config.study import Study
from restem.errors import RestemError


@dataclass(frozen=True)
class Licenses:
    """What is known of licenses; stated: by the user, for names of the study's models and tasks."""

    known: Mapping[str, Any]
    stated: Mapping[str, str]

    @classmethod
    def of(cls, study: Study, config: Path, stated: Mapping[str, str]) -> "Licenses":
        """Read the licenses in config. Raises RestemError if a stated name is not of the study."""
        for name in stated:
            if name not in study.models and name not in study.tasks:
                raise RestemError(
                    f"the study has no model or task {name!r}",
                    f"--license {name}={stated[name]}",
                    f"models: {', '.join(study.models)}; tasks: {', '.join(study.tasks)}",
                )
        return cls(read_yaml(config / "publication/licenses.yaml"), stated)

    def of_model(self, name: str, model: Model) -> str | None:
        """Return the license of a base model, if it is known."""
        source = model.source
        if name in self.stated:
            return self.stated[name]
        if isinstance(source, LocalModel):
            return _front_matter(source.directory / "README.md").get("license")
        match source:
            case HubModel():
                key = source.id
            case PackageModel():
                key = source.package
            case EmbeddedModel():
                key = "embedded"
        return self._listed("models", key)

    def of_data(self, name: str, study: Study) -> str | None:
        """Return the license of a task's problems, if it is known."""
        if name in self.stated:
            return self.stated[name]
        source = study.tasks[name].data.source
        key = {"hub": "id", "package": "package"}.get(source.kind)
        return self._listed("data", str(getattr(source, key)) if key else source.kind)

    def is_open(self, name: str, license: str | None) -> bool:
        """Tell whether something under this license may be passed on, or the user says that."""
        return license is not None and (name in self.stated or license in self.known["open"])

    def _listed(self, kind: str, key: str) -> str | None:
        license = self.known[kind].get(key)
        return None if license is None else str(license)


def _front_matter(card: Path) -> dict[str, Any]:
    """Return the metadata of a model card, or nothing."""
    from huggingface_hub import ModelCard

    try:
        return dict(ModelCard.load(card, ignore_metadata_errors=True).data.to_dict())
    except (OSError, ValueError):
        return {}
