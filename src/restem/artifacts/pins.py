"""Pin artifacts: they are used as they are, whatever becomes of their recipes.

A pin is a file beside the seal with a date and a reason. The tables and figures of a study name its
pins, and every plan says by key what has changed since a pinned artifact was made.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from restem.artifacts.files import read_json, write_json
from restem.artifacts.seals import (
    HIDDEN,
    changed_files,
    recorded_outputs,
    seals_in,
    state_folder,
    state_path,
)
from restem.errors import RestemError

_PIN = ".pin.json"


def pin(output: Path, reason: str) -> Path:
    """Pin the artifact that an output belongs to; return its first output.

    Raises RestemError if the artifact has no seal, or is not what its seal says.
    """
    first_output, seal = _sealed(output)
    if edited := changed_files(first_output, seal):
        raise RestemError(
            f"this artifact is not as it was sealed: {'; '.join(edited)}",
            str(output),
            "make it again, then pin it",
        )
    since = datetime.now(UTC).strftime("%Y-%m-%d")
    write_json(state_path(first_output, "pin.json"), {"since": since, "reason": reason})
    return first_output


def unpin(output: Path) -> Path:
    """Remove an artifact's pin; return its first output. Raises RestemError if it has none."""
    first_output, _ = _sealed(output)
    path = state_path(first_output, "pin.json")
    if not path.exists():
        raise RestemError("this artifact is not pinned", str(output), "name a pinned one")
    path.unlink()
    return first_output


def is_pinned(first_output: Path) -> bool:
    """Tell whether an artifact is pinned."""
    return state_path(first_output, "pin.json").exists()


def pins(root: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the first output of every pinned artifact below a folder, and its pin."""
    for path in sorted(root.glob(f"**/{HIDDEN}/*{_PIN}")):
        first_output = path.parent.parent / path.name.removesuffix(_PIN)
        fix = f"remove the pin: restem unpin {first_output}; then pin it again"
        yield first_output, read_json(path, fix)


def named_pins(root: Path) -> list[str]:
    """Name the pinned artifacts of a study for its labels; a policy by its folder."""
    paths = [first_output.relative_to(root) for first_output, _ in pins(root)]
    return [str(path.parent if path.name == "policy.json" else path) for path in paths]


def _sealed(output: Path) -> tuple[Path, dict[str, Any]]:
    for first_output, seal in seals_in(state_folder(output)):
        if any(path == output for path, _ in recorded_outputs(first_output, seal)):
            return first_output, seal
    raise RestemError(
        "there is no seal of this file", str(output), "name an output of a job that has finished"
    )
