"""Make each artifact once: restore it if nothing changed, otherwise make it and seal it.

How staleness works. Every job has three entries in a folder `.restem` beside its outputs, of which
Snakemake does not know. They are named after the job's first output:

- `<output>.seal.json`, the *seal*: the recipe (settings, code, environment, content of the inputs)
  that the outputs were made with, and the size, time and sha256 of every file that was written;
- `<output>.kept`, the *kept copy*: hard links to the outputs, which take no space;
- `<output>.lock`, which a process holds while it makes the outputs.

Snakemake chooses the jobs to run. It deletes the outputs of a job before the job starts, and after
a job it runs every job downstream. So each job first compares its recipe with the seal. If they
are equal, it restores the outputs from the kept copy within milliseconds; if not, it computes. A
recipe contains the content of the inputs and not their times. Therefore a job that ran again and
wrote the same content causes no work downstream.

Snakemake does not see every edit of an output, so `mark_damaged` compares all files with their
seals before a run. Where they differ, it raises the count of remakes in the seal. This count is a
parameter of the Snakemake job (`count_remakes`), and Snakemake runs jobs whose parameters changed.
"""

import fcntl
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from restem.artifacts.digests import digest, file_digest
from restem.artifacts.tables import read_provenance, replace_atomically
from restem.errors import RestemError

HIDDEN = ".restem"
RECOMPUTE = "RESTEM_RECOMPUTE"


@dataclass(frozen=True)
class Recipe:
    """Everything that determines the content of an artifact.

    settings: the part of the configuration that the stage reads; code: digest by module;
    environment: digest of the lock file; inputs: content digests by input name, in the order in
    which the stage reads the files.
    """

    stage: str
    settings: Mapping[str, Any]
    code: Mapping[str, str]
    environment: str
    inputs: Mapping[str, list[str]]

    @property
    def key(self) -> str:
        """Return the digest of the whole recipe."""
        return digest(asdict(self))


@dataclass
class Job:
    """One run of a stage under a recipe.

    reused: the outputs have been restored, so there is nothing to compute. notes: what the stage
    adds to the seal, such as run times and counts, which differ from run to run.
    """

    recipe: Recipe
    outputs: Mapping[str, Path]
    reused: bool = False
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def provenance(self) -> dict[str, Any]:
        """Return what the outputs record about their origin: digests, and the settings in full."""
        recipe = self.recipe
        return {**asdict(recipe), "code": digest(dict(recipe.code)), "key": recipe.key}


@contextmanager
def produce(recipe: Recipe, outputs: Mapping[str, Path], reuse: bool = True) -> Iterator[Job]:
    """Lock some outputs, restore them or let the body make them, and seal them.

    The first output gives the seal its name. reuse: false for a stage with effects outside its
    outputs, such as publishing, which has to run every time.
    Raises RestemError if the body does not make every output.
    """
    job = Job(recipe, outputs)
    with _lock(next(iter(outputs.values()))):
        started, cpu_started = time.monotonic(), time.process_time()
        job.reused = reuse and not os.environ.get(RECOMPUTE) and _restore(recipe, outputs)
        yield job
        if not job.reused:
            cpu_seconds = round(time.process_time() - cpu_started, 3)
            job.notes |= {"cpu_seconds": cpu_seconds, "gpus": _gpus_used()}
            _seal(job, time.monotonic() - started)


def _gpus_used() -> int:
    """Return 1 if this process has loaded torch and used a GPU, else 0."""
    torch = sys.modules.get("torch")
    return int(torch is not None and bool(torch.cuda.is_initialized()))


def artifact_digest(path: Path) -> str:
    """Return the content digest of an artifact: rows of a table, weights of a policy, or bytes."""
    if path.suffix == ".parquet":
        return str(read_provenance(path)["content"])
    if path.name == "policy.json":
        return str(read_json(path).get("content"))
    return file_digest(path)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object. Raises RestemError with the file's name if it is missing or damaged."""
    fix = "run the rule that makes it again"
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


def state_folder(path: Path) -> Path:
    """Return the folder beside an output for its seal and for the progress of its job."""
    return path.parent / HIDDEN


def read_seal(first_output: Path) -> dict[str, Any] | None:
    """Return a job's seal, given its first output; None if it is missing or unreadable.

    An artifact without a readable seal is made again.
    """
    try:
        seal = json.loads(_state(first_output, "seal.json").read_text())
    except (OSError, ValueError):
        return None
    required = {"key", "first", "outputs", "remakes"}
    return seal if isinstance(seal, dict) and seal.keys() >= required else None


def mark_damaged(root: Path) -> list[Path]:
    """Mark the seals below a folder whose files were edited; return the jobs' first outputs.

    Marking raises the seal's count of remakes, once per edit, which makes the job stale. Snakemake
    itself sees a job whose outputs are all deleted, so that is not damage.
    """
    damaged = []
    for first_output, seal in seals(root):
        outputs = _recorded_outputs(first_output, seal)
        if not any(path.exists() for path, _ in outputs):
            continue
        if all(_is_intact(path, record) for path, record in outputs) or _is_locked(first_output):
            continue
        damaged.append(first_output)
        if not seal["damaged"]:
            marked = {**seal, "damaged": True, "remakes": seal["remakes"] + 1}
            write_json(_state(first_output, "seal.json"), marked)
    return damaged


def count_remakes(first_output: Path) -> int:
    """Return how often edits of an artifact have made it necessary to make it again."""
    seal = read_seal(first_output)
    return int(seal["remakes"]) if seal else 0


def delete_unused_copies(root: Path) -> None:
    """Delete the kept copies of outputs that somebody has deleted, to free the disk space."""
    for first_output, seal in seals(root):
        if not any(path.exists() for path, _ in _recorded_outputs(first_output, seal)):
            shutil.rmtree(_state(first_output, "kept"), ignore_errors=True)


def seals(root: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the first output and the seal of every sealed job below a folder."""
    for path in sorted(root.glob(f"**/{HIDDEN}/*.seal.json")):
        first_output = path.parent.parent / path.name.removesuffix(".seal.json")
        if seal := read_seal(first_output):
            yield first_output, seal


def _state(first_output: Path, kind: str) -> Path:
    """Return the path of a job's seal (`seal.json`), kept copy (`kept`) or lock (`lock`)."""
    return state_folder(first_output) / f"{first_output.name}.{kind}"


def _recorded_outputs(
    first_output: Path, seal: Mapping[str, Any]
) -> list[tuple[Path, Mapping[str, Any]]]:
    """Return the path of every sealed output and what the seal records about it."""
    records = seal["outputs"].values()
    return [(first_output.parent / record["path"], record) for record in records]


def _is_intact(path: Path, record: Mapping[str, Any]) -> bool:
    """Tell whether an output is as it was sealed; contents are read only if times differ.

    A file that was added to a folder is a change, unless its name starts with a dot: systems
    leave such files behind.
    """
    visible = {name for name in _files(path) if not Path(name).name.startswith(".")}
    if not path.exists() or not visible <= record["files"].keys():
        return False
    for name, (size, mtime_ns, sha256) in record["files"].items():
        file = path / name if name else path
        if not file.is_file() or file.stat().st_size != size:
            return False
        if file.stat().st_mtime_ns != mtime_ns and file_digest(file) != sha256:
            return False
    return True


@contextmanager
def _lock(first_output: Path) -> Iterator[None]:
    """Let one process at a time make an output; a killed run may have left one that still works."""
    state_folder(first_output).mkdir(parents=True, exist_ok=True)
    with _state(first_output, "lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting: another process is writing {first_output}", flush=True)
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _is_locked(first_output: Path) -> bool:
    """Tell whether a job is making the output now, so that an unfinished file is not damage."""
    try:
        with _state(first_output, "lock").open() as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _restore(recipe: Recipe, outputs: Mapping[str, Path]) -> bool:
    """Restore the outputs if they were sealed under this recipe; tell whether that succeeded."""
    first_output = next(iter(outputs.values()))
    seal = read_seal(first_output)
    if seal is None or seal["key"] != recipe.key or set(seal["outputs"]) != set(outputs):
        return False
    kept, records = _state(first_output, "kept"), seal["outputs"]
    if not all(_restore_output(kept / n, path, records[n]) for n, path in outputs.items()):
        return False
    renewed = {"outputs": _records(outputs, first_output.parent), "damaged": False}
    write_json(_state(first_output, "seal.json"), seal | renewed)
    print(
        f"reused {first_output}: settings, code, environment and inputs are unchanged", flush=True
    )
    return True


def _restore_output(kept: Path, path: Path, record: Mapping[str, Any]) -> bool:
    """Replace an output by its kept copy unless it is intact; tell whether it is intact now.

    Its time is set to now, because Snakemake expects outputs that are newer than their inputs.
    """
    if not _is_intact(path, record):
        if not _is_intact(kept, record):
            return False
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        _link(kept, path)
    for file in _files(path).values():
        os.utime(file)
    return True


def _seal(job: Job, seconds: float) -> None:
    """Keep a copy of a job's outputs, then write its seal."""
    for name, path in job.outputs.items():
        if not path.exists():
            raise RestemError(f"output {name!r} was not made", str(path), "this is a bug; report")
    first_output = next(iter(job.outputs.values()))
    kept = _state(first_output, "kept")
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True)
    try:
        for name, path in job.outputs.items():
            _link(path, kept / name)
    except OSError:  # the file system has no hard links: outputs cannot be reused, that is all
        shutil.rmtree(kept, ignore_errors=True)
    seal = {
        **asdict(job.recipe),
        "key": job.recipe.key,
        "first": first_output.name,
        "seconds": round(seconds, 3),
        "notes": job.notes,
        "damaged": False,
        "remakes": count_remakes(first_output),
        "outputs": _records(job.outputs, first_output.parent),
    }
    write_json(_state(first_output, "seal.json"), seal)


def _records(outputs: Mapping[str, Path], folder: Path) -> dict[str, Any]:
    """Return what a seal records about outputs: by file, size [bytes], time [ns] and sha256."""
    return {
        name: {
            "path": os.path.relpath(path, folder),
            "files": {
                relative: [file.stat().st_size, file.stat().st_mtime_ns, file_digest(file)]
                for relative, file in _files(path).items()
            },
        }
        for name, path in outputs.items()
    }


def _files(path: Path) -> dict[str, Path]:
    """Return the files of an output by their path inside it, which is '' for a plain file."""
    if path.is_file():
        return {"": path}
    inside = (file for file in sorted(path.rglob("*")) if file.is_file())
    return {str(f.relative_to(path)): f for f in inside if f.name != ".snakemake_timestamp"}


def _link(source: Path, target: Path) -> None:
    """Copy a file or folder by hard links, which raises OSError where there are none."""
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    for relative, file in _files(source).items():
        link = target / relative if relative else target
        link.parent.mkdir(parents=True, exist_ok=True)
        os.link(file, link)
