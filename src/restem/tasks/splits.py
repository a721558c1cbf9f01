"""Divide a task's problems into disjoint splits, and record why problems were left out.

Order and hold-out follow a hash of the question's normalised text, so that they are the same for
every layout of the same data, and equal questions are never on both sides.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from restem.config.data import (
    EmbeddedSource,
    GeneratedSource,
    LocalSource,
    OverlapKind,
    Split,
    TaskData,
)
from restem.errors import RestemError
from restem.tasks.overlap import normalise_question, overlaps
from restem.tasks.problem import Problem
from restem.tasks.sources import PROMPTS, FileRecord, Reader, locate, prompts_of
from restem.tasks.task import Task

_KINDS = get_args(OverlapKind)  # each kind includes those before it

Reasons = list[tuple[str, Callable[[Problem], bool]]]


@dataclass(frozen=True)
class LoadedSplit:
    """A split: its problems, the files read for it, and the numbers dropped by reason.

    problems + dropped = rows of the file that the split is taken from.
    """

    problems: list[Problem]
    files: list[FileRecord]
    dropped: dict[str, int]


def load_split(task: Task, data: TaskData, split: Split) -> LoadedSplit:
    """Read one split of a task as the configuration defines it.

    Raises RestemError when the data cannot be read or has fewer problems than configured.
    """
    _check_expected(task, data)
    counts = {name: getattr(data, name) for name in get_args(Split)}
    reader = Reader(data.source, data.expect, counts)
    if split == "shots":
        kept, dropped = _shots(task, data, reader), Counter[str]()
        if not kept and data.shots != 0 and not isinstance(data.source, GeneratedSource):
            raise _no_prompt(task)
    else:
        pool = task.load(reader, _origin(data, split))
        if not pool and getattr(data, split) != 0:
            raise _without_rows(reader, split)
        _check_doubled(data, pool, split)
        kept, dropped = _sift(pool, _reasons(task, data, split, reader, pool))
        kept.sort(key=lambda problem: (_hash(problem, str(data.seed)), problem.id))
    _check_ids(kept, split)
    used = _take(kept, data, split, dropped)
    if len(used) < len(kept):
        dropped["not among the number configured"] = len(kept) - len(used)
    return LoadedSplit(used, reader.records, dict(dropped))


def input_files(task: Task, data: TaskData, split: Split) -> list[Path]:
    """List the local files that a split is read from, as inputs of a workflow."""
    source, local = data.source, []
    for name in files_read(task, data, split):
        place = prompts_of(source) if name.startswith(PROMPTS) else source
        if isinstance(place, Path | LocalSource):
            local.append(locate(source, name))
    return local


def files_read(task: Task, data: TaskData, split: Split) -> list[str]:
    """Name the files of the source that a split is read from.

    Raises RestemError if the source has none, or lacks a few-shot prompt that is used.
    """
    splits: list[Split] = [] if split == "shots" else [_origin(data, split)]
    if split in ("train", "validation") and data.exclude_overlap:
        splits.append("test")
    if _has_prompt(task, data):
        splits.append("shots")
    return list(dict.fromkeys(file for name in splits for file in task.files(data.source, name)))


def _has_prompt(task: Task, data: TaskData) -> bool:
    """Return whether a worked example can be read; a source without any is for `shots: 0`."""
    files = task.files(data.source, "shots")
    if not any(file.startswith(PROMPTS) for file in files) or prompts_of(data.source):
        return True
    if data.shots == 0:
        return False
    raise _no_prompt(task)


def _no_prompt(task: Task) -> RestemError:
    return RestemError(
        f"the source has no few-shot prompt for {task.name}",
        "source.prompts, or source.files",
        "name what has it, as config/tasks/sources.yaml does, or set shots: 0",
    )


def _origin(data: TaskData, split: Split) -> Split:
    """Name the original split: validation is taken from train, except for embedded tasks."""
    own = split != "validation" or isinstance(data.source, GeneratedSource)
    return split if own else "train"


def _reasons(
    task: Task, data: TaskData, split: Split, reader: Reader, pool: Sequence[Problem]
) -> Reasons:
    """List the reasons to leave a problem out; the first one that applies counts."""
    prompt = {normalise_question(shot.question) for shot in _shots(task, data, reader)}
    reasons: Reasons = [
        ("in the few-shot prompt", lambda problem: normalise_question(problem.question) in prompt),
        ("no gold answer", lambda problem: problem.answer is None and not task.by_hand),
    ]
    if split in ("train", "validation"):
        reasons += _hold_out(data, split, _sift(pool, reasons)[0])
        reasons += _overlap(task, data, reader, pool)
    levels, subjects = data.levels, data.subjects
    if levels is not None:
        reasons.append(("other level", lambda problem: problem.level not in levels))
    if subjects is not None:
        _check_names(subjects, {problem.subject for problem in pool}, "subjects", "subjects")
        reasons.append(("other subject", lambda problem: problem.subject not in subjects))
    return reasons


def _shots(task: Task, data: TaskData, reader: Reader) -> list[Problem]:
    return task.load(reader, "shots") if _has_prompt(task, data) else []


def _hold_out(data: TaskData, split: Split, pool: Sequence[Problem]) -> Reasons:
    """Hold problems out for validation, whatever their levels and subjects."""
    if isinstance(data.source, GeneratedSource):
        return []
    hashes = sorted({_hash(problem) for problem in pool})
    if data.source.held_out > len(hashes):
        raise RestemError(
            f"{data.source.held_out} problems are to be held out of {len(hashes)}",
            "source.held_out",
            f"hold out at most {len(hashes)}",
        )
    held_out = set(hashes[: data.source.held_out])
    if split == "train":
        return [("held out for validation", lambda problem: _hash(problem) in held_out)]
    return [("in the training split", lambda problem: _hash(problem) not in held_out)]


def _overlap(task: Task, data: TaskData, reader: Reader, pool: Sequence[Problem]) -> Reasons:
    if data.exclude_overlap is None:
        return []
    kinds = _KINDS[: _KINDS.index(data.exclude_overlap) + 1]
    pairs = overlaps(pool, task.load(reader, "test"))
    shared = {pair.left_id for pair in pairs if pair.kind in kinds}
    return [("overlaps with the test split", lambda problem: problem.id in shared)]


def _sift(pool: Sequence[Problem], reasons: Reasons) -> tuple[list[Problem], Counter[str]]:
    """Return the problems that stay, and the numbers of dropped ones by reason."""
    kept, dropped = [], Counter[str]()
    for problem in pool:
        reason = next((name for name, applies in reasons if applies(problem)), None)
        if reason is None:
            kept.append(problem)
        else:
            dropped[reason] += 1
    return kept, dropped


def _hash(problem: Problem, salt: str = "held out") -> bytes:
    """Return the hash by which problems are ordered; each salt gives another order."""
    return hashlib.sha256(f"{salt}/{normalise_question(problem.question)}".encode()).digest()


def _take(
    kept: list[Problem], data: TaskData, split: Split, dropped: Counter[str]
) -> list[Problem]:
    count: int | None = getattr(data, split)
    left_out = ", ".join(f"{number} {reason}" for reason, number in dropped.items())
    if not kept and count is None and split != "shots":
        raise RestemError(
            "there are no problems" + (f" (left out: {left_out})" if left_out else ""),
            f"split {split}",
            "correct the data, or what is held out and selected of it",
        )
    if count is not None and count > len(kept):
        larger = ", or raise source.pool" if isinstance(data.source, EmbeddedSource) else ""
        raise RestemError(
            f"there are {len(kept)} problems, not {count}"
            + (f" (left out: {left_out})" if left_out else ""),
            f"split {split}",
            f"set {split} to at most {len(kept)}, or to null for all of them{larger}",
        )
    return kept[:count]


def _without_rows(reader: Reader, split: Split) -> RestemError:
    """Report an empty file by name, before a count of its problems confuses."""
    files = ", ".join(f"{record.file} with {record.rows} rows" for record in reader.records)
    return RestemError(
        "the data has no problems of this split",
        f"split {split}: {files or 'no files'}",
        "fetch the file again, or correct the task's source",
    )


def _check_ids(problems: Sequence[Problem], split: Split) -> None:
    repeated = [name for name, count in Counter(p.id for p in problems).items() if count > 1]
    if repeated:
        raise RestemError(
            f"{len(repeated)} ids are not unique, such as {repeated[0]!r}",
            f"split {split}",
            "correct the data: a problem is identified by its id",
        )


def _check_doubled(data: TaskData, pool: Sequence[Problem], split: Split) -> None:
    """Refuse files that repeat each other, such as the folders of a hub's Parquet branch."""
    counts = Counter(normalise_question(problem.question) for problem in pool)
    if counts and min(counts.values()) > 1 and not isinstance(data.source, GeneratedSource):
        raise RestemError(
            "every problem is there more than once",
            f"split {split}",
            "name each file once, and no two files with the same rows",
        )


def _check_expected(task: Task, data: TaskData) -> None:
    if not data.expect or isinstance(data.source, GeneratedSource):
        return
    origins = data.source.files or ("train", "test")
    names = [file for split in (*origins, "shots") for file in task.files(data.source, split)]
    _check_names(data.expect, names, f"expect, task {task.name}", "files")


def _check_names(names: Collection[str], valid: Collection[str], where: str, what: str) -> None:
    unknown = sorted(set(names) - set(valid))
    if unknown:
        raise RestemError(
            f"the task has no {what} named {', '.join(unknown)}",
            where,
            f"name some of {', '.join(sorted(valid))}",
        )
