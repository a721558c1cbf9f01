"""Read and write seals: what every artifact was made from, and what was written.

A seal lies beside the outputs of a job, in a folder `.restem` of which Snakemake does not know, and
is named after the first output. It holds the recipe (settings, options, code, environment, content
of the inputs), and for every file that was written its size, its time and its sha256. The seal is
the truth about an artifact: without a readable one, an artifact is stale. It names no place: all
paths in it are relative to the folder of the first output, so that results can be moved and copied.
Beside the recipe it states facts of how the outputs were made, such as the container image and the
seconds; they do not decide whether an artifact is stale.
"""

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from restem.artifacts.digests import digest, file_digest
from restem.artifacts.files import artifact_digest, write_json

HIDDEN = ".restem"
SEAL = ".seal.json"
_REQUIRED = {"key", "stage", "settings", "options", "code", "environment", "inputs", "outputs"}


@dataclass(frozen=True)
class Recipe:
    """Everything that determines the content of an artifact.

    settings: the part of the configuration that the stage reads; options: what its command gets
    besides, such as the shard; code: digest by module; environment: digest of the lock file;
    inputs: content digests by input name, in the order in which the stage reads the files.
    """

    stage: str
    settings: Mapping[str, Any]
    code: Mapping[str, str]
    environment: str
    inputs: Mapping[str, list[str]]
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Return the digest of the whole recipe."""
        return recipe_key(asdict(self) | {"code": digest(dict(self.code))})


def recipe_key(stated: Mapping[str, Any]) -> str:
    """Return the digest of a recipe, given its fields with one digest for all of the code."""
    names = ("stage", "settings", "options", "code", "environment", "inputs")
    return digest({name: stated[name] for name in names})


def state_folder(path: Path) -> Path:
    """Return the folder beside an output for its seal and for the progress of its job."""
    return path.parent / HIDDEN


def state_path(first_output: Path, kind: str) -> Path:
    """Return the path of a job's seal (`seal.json`), kept copy (`kept`) or lock (`lock`)."""
    return state_folder(first_output) / f"{first_output.name}.{kind}"


def read_seal(first_output: Path) -> dict[str, Any] | None:
    """Return a job's seal, given its first output; None if it is missing or unreadable."""
    return parse_seal(state_path(first_output, "seal.json"))


def parse_seal(path: Path) -> dict[str, Any] | None:
    """Return the seal in a file; None if it is missing or unreadable."""
    try:
        seal = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return seal if isinstance(seal, dict) and seal.keys() >= _REQUIRED else None


def write_seal(first_output: Path, seal: Mapping[str, Any]) -> None:
    """Write a job's seal atomically."""
    write_json(state_path(first_output, "seal.json"), seal)


def seals(root: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the first output and the seal of every sealed job below a folder."""
    for folder in sorted(root.glob(f"**/{HIDDEN}")):
        yield from seals_in(folder)


def seals_in(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the first output and the seal of every sealed job in one hidden folder."""
    for path in sorted(folder.glob(f"*{SEAL}")):
        first_output = path.parent.parent / path.name.removesuffix(SEAL)
        if seal := parse_seal(path):
            yield first_output, seal


def accepted(root: Path) -> dict[str, int]:
    """Count the artifacts that were accepted (`restem accept`) by what differed and why."""
    return dict(Counter(text for _, seal in seals(root) for text in notes_of(seal)))


def notes_of(seal: Mapping[str, Any]) -> list[str]:
    """Return what differed when an artifact was accepted, and why; of every time."""
    return [f"{', '.join(n['differed'])} ({n['reason']})" for n in seal.get("accepted", [])]


def recorded_outputs(
    first_output: Path, seal: Mapping[str, Any]
) -> list[tuple[Path, Mapping[str, Any]]]:
    """Return the path of every sealed output and what the seal records about it."""
    records = seal["outputs"].values()
    folder = first_output.parent
    return [(Path(os.path.normpath(folder / record["path"])), record) for record in records]


def content_of(output: Path, first_output: Path, seal: Mapping[str, Any]) -> str | None:
    """Return the content digest of an output by its job's seal; None if the seal has none."""
    name = os.path.relpath(output, first_output.parent)
    records = seal["outputs"].values()
    return next((record["content"] for record in records if record["path"] == name), None)


def files_of(path: Path) -> dict[str, Path]:
    """Return the files of an output by their path inside it, which is '' for a plain file."""
    if path.is_file():
        return {"": path}
    inside = (file for file in sorted(path.rglob("*")) if file.is_file())
    return {str(f.relative_to(path)): f for f in inside if f.name != ".snakemake_timestamp"}


def records_of(outputs: Mapping[str, Path]) -> dict[str, Any]:
    """Return what a seal records about outputs, by name.

    path: relative to the first output's folder. content: its content digest, null for a folder.
    files: size [bytes], time [ns] and sha256 of every file in it.
    """
    folder = next(iter(outputs.values())).parent
    return {
        name: {
            "path": os.path.relpath(path, folder),
            "content": artifact_digest(path) if path.is_file() else None,
            "files": {
                relative: [*stat_of(file), file_digest(file)]
                for relative, file in files_of(path).items()
            },
        }
        for name, path in outputs.items()
    }


def stat_of(file: Path) -> list[int]:
    """Return size [bytes] and time [ns] of a file."""
    stat = file.stat()
    return [stat.st_size, stat.st_mtime_ns]


def is_intact(path: Path, record: Mapping[str, Any], verify: bool = False) -> bool:
    """Tell whether an output is as it was sealed.

    Contents are read only where times differ, or of all files with `verify`. A file that was added
    to a folder is a change, unless its name starts with a dot: systems leave such files behind.
    """
    visible = {name for name in files_of(path) if not Path(name).name.startswith(".")}
    if not path.exists() or not visible <= record["files"].keys():
        return False
    for name, (size, mtime_ns, sha256) in record["files"].items():
        file = path / name if name else path
        if not file.is_file():
            return False
        stat = file.stat()
        if stat.st_size != size:
            return False
        if (verify or stat.st_mtime_ns != mtime_ns) and file_digest(file) != sha256:
            return False
    return True


def changed_files(first_output: Path, seal: Mapping[str, Any]) -> list[str]:
    """Say of every output that is not as it was sealed whether it is missing or was edited.

    A pruned output may be missing: its seal still says what was in it.
    """
    changes = []
    for path, record in recorded_outputs(first_output, seal):
        if record.get("pruned") and not path.exists():
            continue
        if not is_intact(path, record):
            changes.append(f"{path} {'was edited' if path.exists() else 'is missing'}")
    return changes


def refreshed(first_output: Path, seal: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a seal with the times that its intact outputs have now; None if it has them already.

    Copies of results have new times, so that each plan would have to read all contents.
    """
    outputs = {}
    for name, record in seal["outputs"].items():
        files = files_of(first_output.parent / record["path"])
        known = {n: files[n].stat().st_mtime_ns for n in record["files"] if n in files}
        entries = record["files"].items()
        times = {n: [size, known.get(n, time), sha256] for n, (size, time, sha256) in entries}
        outputs[name] = {**record, "files": times}
    return None if outputs == seal["outputs"] else {**seal, "outputs": outputs}


def stats_of(inputs: Mapping[str, Sequence[Path]]) -> dict[str, list[list[int]]]:
    """Return size and time of every input file by the input's name."""
    return {name: [stat_of(path) for path in paths] for name, paths in inputs.items()}
