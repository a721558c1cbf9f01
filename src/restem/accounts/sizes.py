"""How many problems a split has and how long its prompts are, also before the data is there.

Public sources state the rows of their files; lengths are then the typical ones of the benchmark.
"""

from dataclasses import dataclass
from statistics import fmean
from typing import Final

from restem.config.data import GeneratedSource, LocalSource, Split, TaskData
from restem.errors import RestemError
from restem.tasks.sources import locate
from restem.tasks.splits import files_read, load_split
from restem.tasks.task import Task, few_shot_prefix


@dataclass(frozen=True)
class Size:
    """Number of problems of a split; mean characters of few-shot prompt and question.

    measured: false if the data was not there.
    """

    problems: int
    prefix: float
    question: float
    measured: bool = True


@dataclass(frozen=True)
class Typical:
    """Mean characters of a benchmark's prompt, of so many worked examples, and of a question.

    rows: problems in its splits, where these are not all rows of the files.
    """

    prefix: float
    shots: int
    question: float
    rows: tuple[tuple[str, int], ...] = ()


TYPICAL: Final = {
    "math": Typical(1793, 4, 225),
    "gsm8k": Typical(2141, 8, 241),
    # 241 of the 2,639 introductory training problems are said to have no tests.
    "apps": Typical(3642, 2, 1030, (("train", 2398), ("test", 1000))),
    "humaneval": Typical(845, 3, 451),
    "mbpp": Typical(1493, 3, 370),
    "leetcode": Typical(1156, 2, 1000),
    "bbh_cot": Typical(2763, 3, 402),
    "bbh_direct": Typical(1063, 3, 375),
    "hungarian": Typical(423, 1, 300),
}
"""Measured on copies of the benchmarks (tests/unit/accounts/test_sizes.py)."""


def size_of(task: Task, data: TaskData, split: Split) -> Size:
    """Return the size of a split: measured if its files are on this machine, else as stated.

    Raises RestemError when it can be known from the data only.
    """
    data = data.model_copy(update={"exclude_overlap": None})
    if isinstance(data.source, LocalSource) or is_here(task, data, split):
        return _measured(task, data, split)
    return stated(task, data, split)


def is_here(task: Task, data: TaskData, split: Split) -> bool:
    """Return whether all files of a split are on this machine."""
    if isinstance(data.source, GeneratedSource):
        return True
    try:
        return all(
            locate(data.source, file, local_only=True).is_file()
            for file in files_read(task, data, split)
        )
    except RestemError:
        return False


def _measured(task: Task, data: TaskData, split: Split) -> Size:
    problems = load_split(task, data, split).problems
    if not problems:
        return Size(0, 0, 0)
    shots = load_split(task, data, "shots").problems
    prompts = {p.subject: few_shot_prefix(task, shots, p.subject) for p in problems}
    prefix = fmean(len(prompts[problem.subject]) for problem in problems)
    question = fmean(len(task.question(problem.question)) for problem in problems)
    return Size(len(problems), prefix, question)


def stated(task: Task, data: TaskData, split: Split) -> Size:
    """Return the size of a split by what the source states, without its data."""
    typical, count = TYPICAL.get(task.name), stated_problems(task, data, split)
    if typical is None or count is None:
        raise RestemError(
            f"the number of problems or their length is not known before {task.name} is read",
            f"split {split}",
            f"set data.{split} to a number, or fetch the data first: `restem data fetch "
            "--configfile <study>`",
        )
    shots = typical.shots if data.shots is None else min(data.shots, typical.shots)
    prefix = typical.prefix * shots / typical.shots
    return Size(count, prefix, typical.question, measured=False)


def stated_problems(task: Task, data: TaskData, split: Split) -> int | None:
    """Return the number of problems, None if a filter leaves it open."""
    configured: int | None = getattr(data, split)
    if isinstance(data.source, GeneratedSource) or data.levels or data.subjects:
        return configured
    origin = "train" if split == "validation" else split
    files = data.source.files.get(origin, {})
    rows = dict(TYPICAL[task.name].rows).get(origin) if task.name in TYPICAL else None
    stated = [count for count in files.values() if count is not None]
    if rows is None and (not files or len(stated) < len(files)):
        return configured
    total = sum(stated) if rows is None else rows
    held_out = min(data.source.held_out, total)
    available = {"train": total - held_out, "validation": held_out}.get(split, total)
    return available if configured is None else min(configured, available)
