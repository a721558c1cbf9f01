"""Grade completions outside the workflow: JSON lines in, verdicts out.

A line is `{"id": …, "problem": {the benchmark's own fields}, "completion": …}`. In Python:

    verdicts = list(grade("mbpp", [{"id": 1, "problem": {...}, "completion": "..."}]))
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final

from restem.config.errors import nearest
from restem.config.reward import Reward
from restem.errors import RestemError
from restem.grading import open_grader
from restem.rewards.verdict import Verdict
from restem.rewards.verifier import Attempt
from restem.tasks import apps, humaneval, leetcode, mbpp
from restem.tasks.registry import load_task

Fields = Mapping[str, Any]
BATCH: Final = 1_000

# The gold answer of a problem given by its benchmark's own fields.
GOLD: Final[dict[str, Callable[[Fields, str], str]]] = {
    "apps": lambda fields, where: apps.spec_of(fields, where).dump(),
    "humaneval": lambda fields, where: humaneval.spec_of(fields, where).dump(),
    "leetcode": lambda fields, where: leetcode.spec_of(fields, where).dump(),
    "mbpp": lambda fields, where: mbpp.spec_of(fields, where).dump(),
}


def grade_file(task: str, source: Path, output: Path, reward: Reward | None = None) -> int:
    """Grade a file of JSON lines into another and return how many; `output` appears when whole."""
    part = output.with_name(f".{output.name}.part")
    count = 0
    try:
        with part.open("w", encoding="utf-8") as file:
            for row in grade(task, _lines(source), reward):
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
                count += 1
        part.replace(output)
    finally:
        part.unlink(missing_ok=True)
    return count


def grade(
    task: str, lines: Iterable[Fields], reward: Reward | None = None
) -> Iterator[dict[str, Any]]:
    """Yield one row a line, in order: id, verdict, reward, fraction, layer, detail, extracted.

    Raises RestemError when a line is not one, or the verifier cannot be opened.
    """
    if task not in GOLD:
        raise RestemError(
            f"there is no task {task!r} to grade{nearest(task, list(GOLD))}",
            "--task",
            f"name one of {', '.join(GOLD)}",
        )
    waiting = enumerate(lines, start=1)
    verifier = load_task(task).verifier
    with open_grader(task, verifier, reward or Reward()) as grader:
        while batch := list(islice(waiting, BATCH)):
            attempts = [_attempt(task, line, f"line {number}") for number, line in batch]
            verdicts = grader.verdicts(attempts)
            for (_, line), verdict in zip(batch, verdicts, strict=True):
                yield _row(line, verdict)


def _attempt(task: str, line: Fields, where: str) -> Attempt:
    problem, completion = line.get("problem"), line.get("completion")
    if not isinstance(problem, dict) or not isinstance(completion, str) or "id" not in line:
        raise RestemError(
            "a line has no id, no problem or no completion",
            where,
            'write {"id": …, "problem": {…}, "completion": "…"}',
        )
    return Attempt(GOLD[task](problem, where), completion)


def _row(line: Fields, verdict: Verdict) -> dict[str, Any]:
    return {
        "id": line["id"],
        "verdict": verdict.verdict,
        "reward": verdict.reward,
        "fraction": verdict.fraction,
        "layer": verdict.layer,
        "detail": verdict.detail,
        "extracted": verdict.extracted,
    }


def _lines(path: Path) -> Iterator[Fields]:
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield _object(line, f"{path}, line {number}")
    except (OSError, UnicodeDecodeError) as problem:
        raise RestemError(f"cannot be read: {problem}", str(path), "name a JSONL file") from problem


def _object(line: str, where: str) -> Fields:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as problem:
        raise RestemError(f"not JSON: {problem}", where, "correct the line") from problem
    if not isinstance(value, dict):
        raise RestemError("not a JSON object", where, "correct the line")
    return value
