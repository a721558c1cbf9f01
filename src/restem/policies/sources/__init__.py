"""Find a source of base models by its kind."""

import importlib
from pathlib import Path
from typing import Any, Protocol, cast


class Source(Protocol):
    """What every module of this room offers."""

    def files(self, source: Any) -> list[Path]:
        """List the local files that are read, for a workflow to watch."""

    def fetch(self, source: Any, checkpoint: Path) -> None:
        """Fill an empty folder with safetensors weights, configuration and tokenizer."""


def load_source(kind: str) -> Source:
    """Return `restem.policies.sources.<kind>`; the configuration admits only kinds that exist."""
    return cast(Source, importlib.import_module(f"restem.policies.sources.{kind}"))
