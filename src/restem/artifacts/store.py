"""Make each artifact once: restore it if nothing changed, otherwise make it and seal it.

Beside the outputs of every job lies a folder `.restem`, of which Snakemake does not know. Its
entries are named after the job's first output:

- `<output>.seal.json`, the *seal* (`restem.artifacts.seals`);
- `<output>.kept`, the *kept copy*: hard links to the outputs, which take no space;
- `<output>.lock`, which a process holds while it makes the outputs.

Snakemake chooses the jobs to run, by the seals (`restem.staleness`). It deletes the outputs of a
job before the job starts, and after a job it runs every job downstream. So each job first compares
its recipe with the seal. If they are equal, it restores the outputs from the kept copy; if not, it
looks into the shared store, if there is one (`restem.artifacts.sharing`), and then computes. A
recipe contains the content of the inputs and not their times. Therefore a job that ran again and
wrote the same content causes no work downstream.
"""

import fcntl
import os
import shutil
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from restem.artifacts import sharing
from restem.artifacts.container import image_in_use
from restem.artifacts.digests import digest
from restem.artifacts.files import is_held
from restem.artifacts.seals import (
    Recipe,
    files_of,
    is_intact,
    read_seal,
    records_of,
    state_folder,
    state_path,
    stats_of,
    write_seal,
)
from restem.artifacts.transfer import replace_by_links
from restem.errors import RestemError

RECOMPUTE = "RESTEM_RECOMPUTE"


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
        recipe, code = self.recipe, digest(dict(self.recipe.code))
        return {**asdict(recipe), "code": code, "key": recipe.key, "image": image_in_use()}


@contextmanager
def produce(
    recipe: Recipe,
    outputs: Mapping[str, Path],
    reuse: bool = True,
    inputs: Mapping[str, Sequence[Path]] | None = None,
) -> Iterator[Job]:
    """Lock some outputs, restore them or let the body make them, and seal them.

    The first output gives the seal its name. reuse: false for a stage with effects outside its
    outputs, such as publishing, which has to run every time. inputs: files that the recipe was
    computed from; their times spare later plans reading them.
    Raises RestemError if the body does not make every output.
    """
    job = Job(recipe, outputs)
    reuse = reuse and not os.environ.get(RECOMPUTE)
    stats = stats_of(inputs or {})
    with ExitStack() as locks:
        locks.enter_context(hold(next(iter(outputs.values()))))
        started, cpu_started = time.monotonic(), time.process_time()
        job.reused = reuse and restore(recipe.key, outputs, stats)
        if reuse and not job.reused and (store := sharing.store()):
            locks.enter_context(store.reserve(recipe.key))
            job.reused = restore(recipe.key, outputs, stats)  # somebody else may have made it
        yield job
        if not job.reused:
            cpu_seconds = round(time.process_time() - cpu_started, 3)
            job.notes |= {"cpu_seconds": cpu_seconds, "gpus": _gpus_used()}
            _seal(job, time.monotonic() - started, stats)
            if reuse and (store := sharing.store()):
                store.put(next(iter(outputs.values())))


def _gpus_used() -> int:
    """Return 1 if this process has loaded torch and used a GPU, else 0."""
    torch = sys.modules.get("torch")
    return int(torch is not None and bool(torch.cuda.is_initialized()))


def delete_unused_copies(
    first_output: Path, spare: Callable[[Path], bool] = lambda _: False
) -> None:
    """Delete the kept copies of a job's outputs that somebody has deleted, to free the disk space.

    spare: tells of a missing output that its job had started, and so had deleted it itself.
    """
    seal = read_seal(first_output)
    for name, record in seal["outputs"].items() if seal else ():
        output = first_output.parent / record["path"]
        if not output.exists() and not spare(output):
            remove(state_path(first_output, "kept") / name)


def remove(path: Path) -> None:
    """Delete a file or a folder, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def hold(first_output: Path) -> Iterator[None]:
    """Let one process at a time make an output; a killed run may have left one that still works."""
    state_folder(first_output).mkdir(parents=True, exist_ok=True)
    with state_path(first_output, "lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting: another process is writing {first_output}", flush=True)
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def is_locked(first_output: Path) -> bool:
    """Tell whether a job is making the output now, so that an unfinished file is not damage."""
    return is_held(state_path(first_output, "lock"))


def restore(
    key: str,
    outputs: Mapping[str, Path],
    stats: Mapping[str, list[list[int]]] | None = None,
    unneeded: Collection[str] = (),
) -> bool:
    """Restore the outputs if some were sealed under a recipe's key; tell whether that succeeded.

    They come from their place, their kept copy or the shared store. What is put back is compared
    with its seal byte for byte, and so is what lies in its place with another time.
    stats: size and time of the inputs, for the seal. unneeded: names of outputs that may stay
    pruned.
    """
    first_output = next(iter(outputs.values()))
    seal = read_seal(first_output)
    if seal is None or seal["key"] != key or set(seal["outputs"]) != set(outputs):
        seal = None
    absent = _pruned(seal, outputs, unneeded) if seal else {}
    here: Mapping[str, Path] = {n: path for n, path in outputs.items() if n not in absent}
    if seal is not None and not _put_back(seal, here, state_path(first_output, "kept")):
        seal = None
    if seal is None:
        store = sharing.store()
        seal = store.take(key, outputs) if store else None
        if seal is None:
            return False
        absent, here = {}, outputs
        _keep(outputs)
    records = {**records_of(here), **absent}
    renewed = {**seal, "first": first_output.name, "outputs": records}
    write_seal(first_output, renewed if stats is None else {**renewed, "read": dict(stats)})
    reason = "settings, code, environment and inputs are unchanged"
    print(f"reused {first_output}: {reason}", flush=True)
    return True


def _pruned(
    seal: Mapping[str, Any], outputs: Mapping[str, Path], unneeded: Collection[str]
) -> dict[str, Any]:
    """Return what a seal records of the outputs that were pruned and that nobody needs."""
    records = seal["outputs"].items()
    return {
        name: record
        for name, record in records
        if name in unneeded and record.get("pruned") and not outputs[name].exists()
    }


def _put_back(seal: Mapping[str, Any], outputs: Mapping[str, Path], kept: Path) -> bool:
    """Replace outputs by their kept copies unless they are intact; tell whether all are now."""
    for name, path in outputs.items():
        record = seal["outputs"][name]
        if is_intact(path, record, verify=True):
            continue
        if not is_intact(kept / name, record, verify=True):
            return False
        replace_by_links(kept / name, path)
    return True


def _keep(outputs: Mapping[str, Path]) -> None:
    """Keep a copy of the outputs by hard links; without those, nothing is kept, that is all."""
    kept = state_path(next(iter(outputs.values())), "kept")
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True)
    try:
        for name, path in outputs.items():
            replace_by_links(path, kept / name)
    except OSError:
        shutil.rmtree(kept, ignore_errors=True)


def _seal(job: Job, seconds: float, stats: Mapping[str, list[list[int]]]) -> None:
    """Keep a copy of a job's outputs, then write its seal."""
    for name, path in job.outputs.items():
        if not path.exists():
            raise RestemError(f"output {name!r} was not made", str(path), "this is a bug; report")
        for file in files_of(path).values():
            _follow_umask(file)
    first_output = next(iter(job.outputs.values()))
    _keep(job.outputs)
    seal = {
        **asdict(job.recipe),
        "key": job.recipe.key,
        "first": first_output.name,
        "image": image_in_use(),
        "seconds": round(seconds, 3),
        "notes": job.notes,
        "outputs": records_of(job.outputs),
        "read": dict(stats),
    }
    write_seal(first_output, seal)


def _follow_umask(file: Path) -> None:
    """Give a file the mode of any new file; some libraries write weights that only the user reads.

    The umask can be read only by setting it.
    """
    umask = os.umask(0)
    os.umask(umask)
    file.chmod(0o666 & ~umask)
