"""Sources of base models; one module for each kind."""

import importlib
from pathlib import Path
from typing import Any, Protocol, cast


class Source(Protocol):
    """The functions of every module in this folder."""

    def files(self, source: Any) -> list[Path]:
        """Return the local files that are read, for the workflow to watch."""

    def fetch(self, source: Any, checkpoint: Path) -> None:
        """Fill an empty folder with safetensors weights, configuration and tokenizer."""


def load_source(kind: str) -> Source:
    """Return the module of a kind; the configuration admits only kinds that exist."""
    return cast(Source, importlib.import_module(f"restem.policies.sources.{kind}"))
