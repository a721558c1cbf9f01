"""Settings as one argument of a command: canonical JSON, packed where it is long."""

import base64
import json
import zlib
from typing import Any, Final

from restem.artifacts.digests import canonical_json

# Linux takes 131,071 bytes as one argument; the settings of a large study's ledger have more.
_LONGEST: Final = 30_000
_PACKED: Final = "zlib:"


def as_argument(settings: object) -> str:
    """Write settings; equal ones give equal text."""
    text = canonical_json(settings)
    if len(text) <= _LONGEST:
        return text
    return _PACKED + base64.b64encode(zlib.compress(text.encode(), 9)).decode()


def from_argument(text: str) -> Any:
    """Read settings. Raises ValueError when they are neither JSON nor packed JSON."""
    if not text.startswith(_PACKED):
        return json.loads(text)
    try:
        return json.loads(zlib.decompress(base64.b64decode(text.removeprefix(_PACKED))))
    except zlib.error as problem:
        raise ValueError(f"what follows {_PACKED} cannot be unpacked: {problem}") from problem
