"""Find a verifier by the name of its module."""

import importlib
import importlib.util
from typing import cast

from restem.errors import RestemError
from restem.rewards.verifier import OpenVerifier


def load_verifier(name: str) -> OpenVerifier:
    """Return the `open_verifier` of `restem.rewards.<name>`.

    Raises RestemError when there is no such verifier.
    """
    module = f"restem.rewards.{name}"
    if name.isidentifier() and importlib.util.find_spec(module):
        found = getattr(importlib.import_module(module), "open_verifier", None)
        if found is not None:
            return cast(OpenVerifier, found)
    raise RestemError(
        f"there is no verifier {name!r}",
        "restem.rewards",
        "name a module there that defines open_verifier(), such as math",
    )
