"""Make an artifact once: lock it, put it back if nothing changed, seal it when it is made.

Snakemake deletes a job's outputs before the job starts, and re-runs all that lies below a job
that re-ran. So beside its outputs every job leaves, in an undeclared folder `.restem`:

- a *seal*: the recipe (settings, code, environment, contents of the inputs) and the hashes of
  what was written;
- a *kept* copy: hard links to the outputs, which survive the deletion and cost no space.

A job whose recipe equals the seal's puts the kept outputs back in milliseconds. That is the early
cut-off inside one invocation: a stage that re-ran and wrote the same rows leaves those below
nothing to compute. A hand-edited file no longer matches its seal and is made again.
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
from restem.artifacts.tables import read_provenance
from restem.errors import RestemError

HIDDEN = ".restem"
RECOMPUTE = "RESTEM_RECOMPUTE"


@dataclass(frozen=True)
class Recipe:
    """All that decides the content of an artifact.

    settings: the stage's slice of configuration; code: digest by module; inputs: content digest
    by input name, in the order in which the stage reads them.
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

    @property
    def provenance(self) -> dict[str, Any]:
        """Return what an artifact records of its making: digests, and the settings in full."""
        return {**asdict(self), "code": digest(dict(self.code)), "key": self.key}


@dataclass
class Job:
    """One making of outputs under a recipe; `reused` says that nothing is left to compute."""

    recipe: Recipe
    outputs: Mapping[str, Path]
    reused: bool = False
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def provenance(self) -> dict[str, Any]:
        """Return what the outputs record of their making."""
        return self.recipe.provenance


@contextmanager
def produce(recipe: Recipe, outputs: Mapping[str, Path], reuse: bool = True) -> Iterator[Job]:
    """Hold the lock on some outputs while they are put back or made, then seal them.

    The first output names the seal. A stage that also acts on the world outside is not reused.
    Raises RestemError when the body leaves an output unmade.
    """
    job = Job(recipe, outputs)
    first = next(iter(outputs.values()))
    with _lock(first):
        started, cpu = time.monotonic(), time.process_time()
        job.reused = reuse and not os.environ.get(RECOMPUTE) and _put_back(recipe, outputs)
        yield job
        if not job.reused:
            job.notes |= {"cpu_seconds": round(time.process_time() - cpu, 3), "gpus": _gpus()}
            _seal(job, time.monotonic() - started)


def _gpus() -> int:
    """Count the GPUs that this process used: one, if torch was loaded and touched one."""
    torch = sys.modules.get("torch")
    return int(torch is not None and bool(torch.cuda.is_initialized()))


def content_of(path: Path) -> str:
    """Return the content digest of an artifact: rows of a table, weights of a policy, bytes."""
    if path.suffix == ".parquet":
        return str(read_provenance(path)["content"])
    if path.name == "policy.json":
        return str(read_json(path).get("content"))
    return file_digest(path)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object, and name the file when it is missing or damaged."""
    way_out = "run the rule that makes it again"
    try:
        stored = json.loads(path.read_text())
    except (OSError, ValueError) as problem:
        raise RestemError(f"the file cannot be read: {problem}", str(path), way_out) from problem
    if not isinstance(stored, dict):
        raise RestemError("the file does not hold a JSON object", str(path), way_out)
    return stored


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object readably and atomically."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file to a temporary name, sync it, rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def hidden(path: Path) -> Path:
    """Return the undeclared folder beside an output, where its seal and progress live."""
    return path.parent / HIDDEN


def seal_path(first_output: Path) -> Path:
    """Return where the seal of a job lies, given the job's first output."""
    return hidden(first_output) / f"{first_output.name}.seal.json"


def read_seal(first_output: Path) -> dict[str, Any] | None:
    """Return the seal of a job, or None where there is none that can be read."""
    return _read_seal(seal_path(first_output))


def _read_seal(path: Path) -> dict[str, Any] | None:
    """Return a seal; a damaged one counts as none, so that its artifact is made again."""
    try:
        stored = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    known = isinstance(stored, dict) and stored.keys() >= {"key", "first", "outputs", "remakes"}
    return stored if known else None


def mark_damaged(root: Path) -> list[Path]:
    """Mark the seals of all jobs whose files are not what was written, and list their outputs.

    A mark raises the job's count of remakes once, which makes the job stale (see `remakes`). A job
    whose outputs were all deleted does not count: Snakemake sees that itself.
    """
    found = []
    for folder, seal in _seals(root):
        if _is_damaged(folder, seal) and not _is_being_made(folder / seal["first"]):
            found.append(folder / seal["first"])
            if not seal["damaged"]:
                marked = {**seal, "damaged": True, "remakes": seal["remakes"] + 1}
                write_json(seal_path(found[-1]), marked)
    return found


def remakes(first_output: Path) -> int:
    """Return how often an artifact was, or has to be, made again because somebody edited it."""
    seal = read_seal(first_output)
    return int(seal["remakes"]) if seal else 0


def forget_deleted(root: Path) -> None:
    """Drop the kept copies of outputs that somebody deleted, so that the space is freed."""
    for folder, seal in _seals(root):
        if not any((folder / output["path"]).exists() for output in seal["outputs"].values()):
            shutil.rmtree(_kept(folder / seal["first"]), ignore_errors=True)


def _seals(root: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield every seal below a folder with the folder that its outputs lie in."""
    for path in sorted(root.glob(f"**/{HIDDEN}/*.seal.json")):
        seal = _read_seal(path)
        if seal is not None:
            yield path.parent.parent, seal


def _is_damaged(folder: Path, seal: Mapping[str, Any]) -> bool:
    outputs = [(folder / output["path"], output) for output in seal["outputs"].values()]
    if not any(path.exists() for path, _ in outputs):
        return False
    return not all(_intact(path, output) for path, output in outputs)


def _intact(path: Path, output: Mapping[str, Any]) -> bool:
    """Compare files with their seal: by size and time where these agree, else by content."""
    visible = {name for name in _files(path) if not Path(name).name.startswith(".")}
    if not path.exists() or not visible <= output["files"].keys():
        return False
    for name, (size, mtime_ns, sha256) in output["files"].items():
        file = path / name if name else path
        if not file.is_file() or file.stat().st_size != size:
            return False
        if file.stat().st_mtime_ns != mtime_ns and file_digest(file) != sha256:
            return False
    return True


@contextmanager
def _lock(first: Path) -> Iterator[None]:
    """Let one process at a time make an output; an orphan of a killed run may still be at it."""
    hidden(first).mkdir(parents=True, exist_ok=True)
    with (hidden(first) / f"{first.name}.lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting: another process is writing {first}", flush=True)
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _is_being_made(first: Path) -> bool:
    """Tell whether a running job holds the lock: what it has not finished is not damaged."""
    try:
        with (hidden(first) / f"{first.name}.lock").open() as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _kept(first: Path) -> Path:
    return hidden(first) / f"{first.name}.kept"


def _put_back(recipe: Recipe, outputs: Mapping[str, Path]) -> bool:
    first = next(iter(outputs.values()))
    seal = read_seal(first)
    if seal is None or seal["key"] != recipe.key or set(seal["outputs"]) != set(outputs):
        return False
    if not all(_restore(_kept(first) / n, p, seal["outputs"][n]) for n, p in outputs.items()):
        return False
    described = {"outputs": _described(outputs, first.parent), "damaged": False}
    write_json(seal_path(first), seal | described)
    print(f"reused {first}: settings, code, environment and inputs are what they were", flush=True)
    return True


def _restore(kept: Path, path: Path, output: Mapping[str, Any]) -> bool:
    """Make one output stand where it should, from itself or from its kept copy."""
    if not (path.exists() and _intact(path, output)):
        if not (kept.exists() and _intact(kept, output)):
            return False
        _remove(path)
        _link(kept, path)
    for file in _files(path).values():
        os.utime(file)
    return True


def _seal(job: Job, seconds: float) -> None:
    for name, path in job.outputs.items():
        if not path.exists():
            raise RestemError(f"output {name!r} was not made", str(path), "this is a bug; report")
    first = next(iter(job.outputs.values()))
    kept = _kept(first)
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True)
    try:
        for name, path in job.outputs.items():
            _link(path, kept / name)
    except OSError:  # a file system without hard links: nothing is kept, all else works
        shutil.rmtree(kept, ignore_errors=True)
    recipe = {**asdict(job.recipe), "key": job.recipe.key}
    made = {"first": first.name, "seconds": round(seconds, 3), "notes": job.notes}
    made |= {"damaged": False, "remakes": remakes(first)}
    outputs = _described(job.outputs, first.parent)
    write_json(seal_path(first), {**recipe, **made, "outputs": outputs})


def _described(outputs: Mapping[str, Path], folder: Path) -> dict[str, Any]:
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
    """List the files of an output by their path inside it; a plain file has the name ''."""
    if path.is_file():
        return {"": path}
    inside = (file for file in sorted(path.rglob("*")) if file.is_file())
    return {str(f.relative_to(path)): f for f in inside if f.name != ".snakemake_timestamp"}


def _link(source: Path, target: Path) -> None:
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    for relative, file in _files(source).items():
        place = target / relative if relative else target
        place.parent.mkdir(parents=True, exist_ok=True)
        os.link(file, place)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
