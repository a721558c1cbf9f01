"""Free the disk space of what a study no longer needs; the seals keep the hashes.

Weights are most of a study's bytes, and most checkpoints are needed only until the completions of
their policy are sampled and the next policy is trained. Pruning a checkpoint deletes its files and
says so in the seal. Nothing below becomes stale. If a later edit needs the weights again, the plan
lists the fine-tuning among the jobs to be run.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from restem.artifacts.pins import is_pinned
from restem.artifacts.seals import HIDDEN, read_seal, seals, state_path, write_seal
from restem.artifacts.store import hold, remove
from restem.config.load import load_study, read_yaml
from restem.pages.ledger import readable
from restem.study.graph import StudyGraph
from restem.tools.dry_run import dry_run

CHECKPOINT = "checkpoint"
Keep = Literal["all", "final", "needed"]


@dataclass(frozen=True)
class Pruned:
    """Something that can be deleted: what it is, where, and the job whose seal has to say so."""

    what: str
    path: Path
    first_output: Path | None = None


def prune(configfile: Path | None, keep: Keep, delete: bool) -> str:
    """Delete what a study no longer needs, or say what would be deleted.

    keep: which checkpoints stay. all: every one, so that only states of finished trainings and
    second copies go; final: base models and the last iteration of each variant; needed: those that
    a job which has not run yet will read. Such checkpoints stay in any case.
    """
    config = configfile or Path("config/demo.yaml")
    graph = StudyGraph(load_study(read_yaml(config), Path("config")))
    results = Path("results") / graph.study.study
    planned, _ = dry_run(["--configfile", str(config)])
    unfinished = {job.output for job in planned}
    needed = {path for job in planned for path in job.inputs}
    items = [*_states(results, unfinished)]
    if keep != "all":
        stay = needed | (set(_final(graph, results)) if keep == "final" else set())
        items += _checkpoints(results, unfinished, stay)
    items += _copies(results, {item.path for item in items})
    return _report(items, _delete(items) if delete else _bytes_freed(items), delete)


def _final(graph: StudyGraph, results: Path) -> Iterator[str]:
    """Yield the checkpoints of base models and of the last iteration of each variant."""
    for model in graph.study.models:
        yield str(results / graph.base(model).path / CHECKPOINT)
    for policy in graph.stated:
        if graph.is_last(policy):
            yield str(results / graph.owner(policy).path / CHECKPOINT)


def _states(results: Path, unfinished: set[str]) -> Iterator[Pruned]:
    """Yield what finished trainings saved in case that they would be killed."""
    for first_output, _ in seals(results):
        folder = first_output.parent / HIDDEN / "training"
        if first_output.name == "policy.json" and folder.exists():
            if str(first_output) not in unfinished:
                yield Pruned("states of finished trainings", folder)


def _checkpoints(results: Path, unfinished: set[str], stay: set[str]) -> Iterator[Pruned]:
    for first_output, seal in seals(results):
        folder = first_output.parent / CHECKPOINT
        if CHECKPOINT not in seal["outputs"] or not folder.is_dir() or not any(folder.iterdir()):
            continue  # a halted policy has an empty checkpoint
        if str(first_output) in unfinished or str(folder) in stay or is_pinned(first_output):
            continue
        yield Pruned("checkpoints", folder, first_output)


def _copies(results: Path, going: set[Path]) -> Iterator[Pruned]:
    """Yield kept copies of outputs that go too, and those that take space of their own."""
    for first_output, seal in seals(results):
        for name, record in seal["outputs"].items():
            kept = state_path(first_output, "kept") / name
            output = first_output.parent / record["path"]
            if kept.exists() and (output in going or not _is_linked(kept, output)):
                yield Pruned("kept copies", kept)


def _is_linked(kept: Path, output: Path) -> bool:
    """Tell whether a kept copy takes no space, because its files are those of the output."""
    files = _files(kept)
    pairs = ((f, output / f.relative_to(kept) if kept.is_dir() else output) for f in files)
    return all(other.exists() and file.samefile(other) for file, other in pairs)


def _files(path: Path) -> list[Path]:
    return [f for f in path.rglob("*") if f.is_file()] if path.is_dir() else [path]


def _bytes_freed(items: list[Pruned]) -> int:
    """Count the bytes of files of which every link goes."""
    links: dict[tuple[int, int], list[Any]] = {}
    for item in items:
        for file in _files(item.path):
            stat = file.stat()
            links.setdefault((stat.st_dev, stat.st_ino), []).append(stat)
    return sum(of[0].st_size for of in links.values() if len(of) == of[0].st_nlink)


def _delete(items: list[Pruned]) -> int:
    """Delete everything; a seal says so first, so that a kill in between loses nothing."""
    freed = _bytes_freed(items)
    for item in items:
        if item.first_output:
            with hold(item.first_output):
                _record(item.first_output)
                remove(item.path)
        else:
            remove(item.path)
    return freed


def _record(first_output: Path) -> None:
    seal = read_seal(first_output)
    if seal is not None:
        record = seal["outputs"][CHECKPOINT] | {"pruned": datetime.now(UTC).strftime("%Y-%m-%d")}
        write_seal(first_output, {**seal, "outputs": {**seal["outputs"], CHECKPOINT: record}})


def _report(items: list[Pruned], freed: int, deleted: bool) -> str:
    if not items:
        return "Nothing to prune."
    lines = []
    for what in dict.fromkeys(item.what for item in items):
        of_kind = [item for item in items if item.what == what]
        size = sum(file.stat().st_size for item in of_kind for file in _present(item))
        lines.append(f"{len(of_kind)} {what}" + ("" if deleted else f", {readable(size)}"))
        if what == "checkpoints":
            lines += [f"    {item.path}" for item in of_kind]
    verb = "freed" if deleted else "would be freed; give --delete to delete them"
    return "\n".join([*lines, f"{readable(freed)} {verb}"])


def _present(item: Pruned) -> list[Path]:
    return _files(item.path) if item.path.exists() else []
