"""LeetCodeDataset (Xia et al. 2025): methods of a class `Solution`, with reference solutions."""

import re
from typing import Any, Final

from restem.config.data import DataSource
from restem.errors import RestemError
from restem.rewards.code_spec import Spec
from restem.tasks.code_task import Fields, code_task, make_spec
from restem.tasks.problem import SHOT, Problem
from restem.tasks.sources import Reader, Row, chosen, text_of

LOCAL: Final = {"train": "train-v0.2.0", "test": "test-v0.3.1"}
SHOT_IDS: Final = ("two-sum", "palindrome-number")
LEVELS: Final = {"Easy": 1, "Medium": 2, "Hard": 3}

_CLASS: Final = re.compile(r"^class (\w+)", re.MULTILINE)
_STARTER: Final = re.compile(r"```python\n(.*?)```", re.DOTALL)


def question(text: str) -> str:
    """Return the problem, which ends in the code to complete, and open the answer's fence."""
    return f"{text.strip()}\n\nAnswer:\n```python\n"


def answer(solution: str) -> str:
    """Frame a program inside the fence that the question opened."""
    return solution.strip("\r\n").removesuffix("```").rstrip() + "\n```\n\n"


def files(source: DataSource, split: str) -> tuple[str, ...]:
    """Name the files of a split; the few-shot problems are in the training file."""
    return chosen(source, split, [f"leetcode/{LOCAL.get(split, LOCAL['train'])}.jsonl.gz"])


def load(reader: Reader, split: str) -> list[Problem]:
    """Read an original split, or the few-shot prompt."""
    rows = [row for file in files(reader.source, split) for row in reader.rows(file)]
    if split == "shots":
        return [_read(row, SHOT) for row in rows if row.text("task_id") in SHOT_IDS]
    return [_read(row, "human") for row in rows]


def spec_of(fields: Fields, where: str) -> Spec:
    """Return the tests of a problem, given the data set's own fields."""
    preamble = text_of(fields, "prompt", where)
    return make_spec(
        where,
        kind="asserts",
        preamble=preamble,
        prefix=_starter(fields),
        entry=text_of(fields, "entry_point", where),
        tests=text_of(fields, "test", where),
        bind="candidate",
        classes=_CLASS.findall(preamble),
    )


def _starter(fields: Fields) -> str:
    """Return the code that the problem asks to complete, if it has any."""
    blocks = _STARTER.findall(str(fields.get("query") or ""))
    return str(blocks[-1]) if blocks else str(fields.get("starter_code") or "")


def _read(row: Row, source: str) -> Problem:
    meta: Any = row.values.get("meta") or {}
    difficulty = str(meta.get("difficulty", row.values.get("difficulty", "")))
    if difficulty not in LEVELS:
        raise RestemError(
            f"difficulty {difficulty!r} is not {', '.join(LEVELS)}", row.where, "correct the row"
        )
    return Problem(
        id=f"leetcode/{row.text('task_id')}",
        question=row.text("query"),
        answer=spec_of(row.values, row.where).dump(),
        level=LEVELS[difficulty],
        solutions={source: row.text("completion")},
    )


TASK = code_task(
    "leetcode", files, load, question, answer, ("\n```", "</s>", "<|im_end|>"), spec_of
)
