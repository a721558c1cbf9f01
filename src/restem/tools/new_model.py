"""Name a base model as `restem new` is given one: a hub id, a folder, or a size of the embedded."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from restem.config.models import PACKAGED
from restem.embedded import weights
from restem.errors import RestemError
from restem.policies.manifest import count_parameters
from restem.policies.sources.local import checkpoint_problems

_HUB: Final = re.compile(r"(?P<id>[\w.-]+/[\w.-]+)(@(?P<revision>[0-9a-f]{40}))?")


@dataclass(frozen=True)
class BaseModel:
    """A base model: its name in the study, its `source`, and what is known of it.

    parameters: their number, 0 if unknown.
    """

    name: str
    source: dict[str, Any]
    parameters: int = 0

    @property
    def is_tiny(self) -> bool:
        """Tell whether it is one of the embedded models."""
        return bool(self.source["kind"] == "embedded")


def base_model(stated: str) -> BaseModel:
    """Return the base model that a word on the command line names."""
    if stated in weights.sizes():
        return BaseModel(stated, {"kind": "embedded", "size": stated})
    if model := PACKAGED.get(stated):
        return BaseModel(model.name, {"kind": "package", "package": stated}, model.parameters)
    folder = Path(stated).expanduser()
    hub = _HUB.fullmatch(stated)
    if folder.is_dir() or hub is None:
        return _local_model(stated, folder)
    revision = hub["revision"] or _cached_revision(hub["id"]) or _current_revision(hub["id"])
    return BaseModel(
        _as_name(hub["id"].split("/")[1]), {"kind": "hub", "id": hub["id"], "revision": revision}
    )


def _local_model(stated: str, folder: Path) -> BaseModel:
    problems = checkpoint_problems(folder)
    if problems:
        sizes = ", ".join([*weights.sizes(), *PACKAGED])
        raise RestemError(
            f"this is no base model: {'; '.join(problems)}",
            f"--model {stated}",
            "name a folder that `save_pretrained` wrote, a model of the hub as owner/name, or one "
            f"of {sizes}",
        )
    count = sum(map(count_parameters, folder.glob("*.safetensors")))
    name = _as_name(folder.resolve().name)
    return BaseModel(name, {"kind": "local", "directory": stated}, count)


def _as_name(name: str) -> str:
    """Return a name that a study may give a model."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", name).lstrip("._-")[:64] or "model"


def _cached_revision(name: str) -> str:
    """Return the commit of a model in the hub's cache on this machine; empty if there is none."""
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    home = os.environ.get("HF_HOME") or Path(caches, "huggingface")
    cache = Path(os.environ.get("HF_HUB_CACHE") or Path(home, "hub"))
    ref = cache / f"models--{name.replace('/', '--')}" / "refs" / "main"
    return ref.read_text().strip() if ref.is_file() else ""


def _current_revision(name: str) -> str:
    """Ask the hub for the current commit of a model."""
    from huggingface_hub import HfApi

    try:
        return str(HfApi().model_info(name, timeout=20).sha)
    except Exception as problem:  # httpx, requests and the hub have errors of their own
        raise RestemError(
            "there is no such folder, and the hub does not tell the commit of such a model: "
            f"{type(problem).__name__}",
            f"--model {name}",
            "give it yourself, as owner/name@<40 hexadecimal digits>; the model's page on the hub "
            "shows it under History. A gated model needs HF_TOKEN",
        ) from problem
