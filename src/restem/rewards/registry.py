"""Find a verifier by the name of its module."""

import importlib
import importlib.util
import re
from pathlib import Path
from typing import Final, cast

from restem.errors import RestemError
from restem.rewards.verifier import OpenVerifier

_DEFINES: Final = re.compile(r"^def open_verifier\(", re.MULTILINE)


def verifier_names() -> list[str]:
    """List the modules that define a verifier, without importing what they import."""
    folder = Path(__file__).parent
    paths = folder.glob("*.py")
    return sorted(path.stem for path in paths if _DEFINES.search(path.read_text("utf-8")))


def load_verifier(name: str) -> OpenVerifier:
    """Return the `open_verifier` of `restem.rewards.<name>`.

    Raises RestemError when there is no such verifier.
    """
    module = f"restem.rewards.{name}"
    if name.isidentifier() and importlib.util.find_spec(module):
        open_verifier = getattr(importlib.import_module(module), "open_verifier", None)
        if open_verifier is not None:
            return cast(OpenVerifier, open_verifier)
    raise RestemError(
        f"there is no verifier {name!r}",
        "restem.rewards",
        "name a module of this package that defines open_verifier(), such as math",
    )
