"""Cut a task's problems into disjoint splits, and say why each problem was left out.

Order and hold-out follow a hash of the question's normalised text, so that they are the same for
every layout of the same data, and equal questions never fall on both sides.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from restem.config.data import EmbeddedSource, HubSource, LocalSource, OverlapKind, Split, TaskData
from restem.errors import RestemError
from restem.tasks.overlap import normalise, overlaps
from restem.tasks.problem import Problem
from restem.tasks.sources import PROMPTS, FileRecord, Reader, locate
from restem.tasks.task import Task

_KINDS = get_args(OverlapKind)  # each kind includes those before it

Reasons = list[tuple[str, Callable[[Problem], bool]]]


@dataclass(frozen=True)
class Loaded:
    """A split: its problems, what was read for it, and how many were dropped for which reason.

    The counts close: problems + dropped = rows of the file that the split is cut from.
    """

    problems: list[Problem]
    files: list[FileRecord]
    dropped: dict[str, int]


def load_split(task: Task, data: TaskData, split: Split) -> Loaded:
    """Read one split of a task as the configuration wants it.

    Raises RestemError when the data cannot be read or has fewer problems than are asked for.
    """
    _check_expected(task, data)
    reader = Reader(data.source, data.expect)
    if split == "shots":
        kept, dropped = _shots(task, reader), Counter[str]()
    else:
        pool = task.load(reader, _origin(data, split))
        kept, dropped = _sift(pool, _reasons(task, data, split, reader, pool))
        kept.sort(key=lambda problem: (_place(problem, str(data.seed)), problem.id))
    _check_ids(kept, split)
    used = _take(kept, data, split, dropped)
    if len(used) < len(kept):
        dropped["not among the number configured"] = len(kept) - len(used)
    return Loaded(used, reader.records, dict(dropped))


def input_files(task: Task, data: TaskData, split: Split) -> list[Path]:
    """List the local files that a split is read from, for a workflow to watch."""
    if isinstance(data.source, EmbeddedSource):
        return []
    splits: list[Split] = ["shots"] if split == "shots" else [_origin(data, split), "shots"]
    if split in ("train", "validation") and data.exclude_overlap:
        splits.append("test")
    names = _files(task, data, splits)
    if isinstance(data.source, HubSource):
        names = [name for name in names if name.startswith(PROMPTS)]
    return [locate(data.source, name) for name in names]


def _files(task: Task, data: TaskData, splits: Sequence[Split]) -> list[str]:
    """Name the files that some original splits are read from."""
    names = [file for split in splits for file in task.files(data.source, split)]
    without = isinstance(data.source, HubSource) and data.source.prompts is None
    return [name for name in dict.fromkeys(names) if not (without and name.startswith(PROMPTS))]


def _origin(data: TaskData, split: Split) -> Split:
    """Name the original split: validation is cut from train, but for embedded tasks."""
    own = split != "validation" or isinstance(data.source, EmbeddedSource)
    return split if own else "train"


def _reasons(
    task: Task, data: TaskData, split: Split, reader: Reader, pool: Sequence[Problem]
) -> Reasons:
    """List why a problem does not belong to the split; the first reason that holds counts."""
    prompt = {normalise(shot.question) for shot in _shots(task, reader)}
    reasons: Reasons = [
        ("in the few-shot prompt", lambda problem: normalise(problem.question) in prompt),
        ("no gold answer", lambda problem: problem.answer is None and not task.by_hand),
    ]
    if split in ("train", "validation"):
        reasons += _hold_out(data, split, _sift(pool, reasons)[0])
        reasons += _overlap(task, data, reader, pool)
    levels, subjects = data.levels, data.subjects
    if levels is not None:
        reasons.append(("other level", lambda problem: problem.level not in levels))
    if subjects is not None:
        _check_subjects(subjects, {problem.subject for problem in pool})
        reasons.append(("other subject", lambda problem: problem.subject not in subjects))
    return reasons


def _shots(task: Task, reader: Reader) -> list[Problem]:
    without = isinstance(reader.source, HubSource) and reader.source.prompts is None
    return [] if without else task.load(reader, "shots")


def _hold_out(data: TaskData, split: Split, pool: Sequence[Problem]) -> Reasons:
    """Set problems aside for validation before levels, subjects or counts are looked at."""
    if not isinstance(data.source, LocalSource | HubSource):
        return []
    held = {_place(problem) for problem in pool}
    if data.source.held_out > len(held):
        raise RestemError(
            f"{data.source.held_out} problems are to be held out of {len(held)}",
            "source.held_out",
            f"hold out at most {len(held)}",
        )
    held = set(sorted(held)[: data.source.held_out])
    if split == "train":
        return [("held out for validation", lambda problem: _place(problem) in held)]
    return [("in the training split", lambda problem: _place(problem) not in held)]


def _overlap(task: Task, data: TaskData, reader: Reader, pool: Sequence[Problem]) -> Reasons:
    if data.exclude_overlap is None:
        return []
    kinds = _KINDS[: _KINDS.index(data.exclude_overlap) + 1]
    pairs = overlaps(pool, task.load(reader, "test"))
    shared = {pair.left_id for pair in pairs if pair.kind in kinds}
    return [("overlaps with the test split", lambda problem: problem.id in shared)]


def _sift(pool: Sequence[Problem], reasons: Reasons) -> tuple[list[Problem], Counter[str]]:
    """Split a pool into what stays and a count of what goes, by reason."""
    kept, dropped = [], Counter[str]()
    for problem in pool:
        reason = next((name for name, holds in reasons if holds(problem)), None)
        if reason is None:
            kept.append(problem)
        else:
            dropped[reason] += 1
    return kept, dropped


def _place(problem: Problem, salt: str = "held out") -> bytes:
    """Return a problem's fixed place in the order that a salt gives."""
    return hashlib.sha256(f"{salt}/{normalise(problem.question)}".encode()).digest()


def _take(
    kept: list[Problem], data: TaskData, split: Split, dropped: Counter[str]
) -> list[Problem]:
    count: int | None = getattr(data, split)
    if count is not None and count > len(kept):
        left_out = ", ".join(f"{number} {reason}" for reason, number in dropped.items())
        larger = ", or raise source.pool" if isinstance(data.source, EmbeddedSource) else ""
        raise RestemError(
            f"{count} problems are asked for and {len(kept)} are there"
            + (f" (left out: {left_out})" if left_out else ""),
            f"split {split}",
            f"set {split} to at most {len(kept)}, or to null for all of them{larger}",
        )
    return kept[:count]


def _check_ids(problems: Sequence[Problem], split: Split) -> None:
    twice = [name for name, times in Counter(p.id for p in problems).items() if times > 1]
    if twice:
        raise RestemError(
            f"{len(twice)} ids are not unique, such as {twice[0]!r}",
            f"split {split}",
            "correct the data: a problem is known by its id",
        )


def _check_expected(task: Task, data: TaskData) -> None:
    known = _files(task, data, ("train", "test", "shots"))
    unknown = sorted(set(data.expect).difference(known))
    if unknown:
        raise RestemError(
            f"no such file is read: {', '.join(unknown)}",
            f"expect, task {task.name}",
            f"name one of {', '.join(sorted(known))}",
        )


def _check_subjects(wanted: Collection[str], known: Collection[str]) -> None:
    unknown = sorted(set(wanted) - set(known))
    if unknown:
        raise RestemError(
            f"no problem has the subject {', '.join(unknown)}",
            "subjects",
            f"name some of {', '.join(sorted(known))}",
        )
