"""Read and write plain files: JSON objects, texts and bytes; and digest any artifact's content."""

import fcntl
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from restem.artifacts.digests import file_digest
from restem.artifacts.tables import read_provenance, replace_atomically
from restem.errors import RestemError


def artifact_digest(path: Path) -> str:
    """Return the content digest of an artifact: rows of a table, weights of a policy, or bytes."""
    if path.suffix == ".parquet":
        return str(read_provenance(path)["content"])
    if path.name == "policy.json":
        return str(read_json(path).get("content"))
    return file_digest(path)


def is_held(lock: Path) -> bool:
    """Tell whether a living process holds a lock file; asking keeps nobody from a shared lock."""
    try:
        with lock.open() as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def read_json(path: Path, fix: str = "run the rule that makes it again") -> dict[str, Any]:
    """Read a JSON object. Raises RestemError with the file's name if it is missing or damaged."""
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError) as problem:
        raise RestemError(f"the file cannot be read: {problem}", str(path), fix) from problem
    if not isinstance(value, dict):
        raise RestemError("the file does not hold a JSON object", str(path), fix)
    return value


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object atomically, indented and with sorted keys."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    with replace_atomically(path) as temporary:
        temporary.write_bytes(content)
