"""MBPP (Austin et al. 2021): a sentence and three assertions, solved by a function.

The prompt is the paper's: tasks 2, 3 and 4 are its worked examples. Its assertions stand in the
prompt, as the benchmark has it, so a program may know what it is tested with.
"""

from typing import Any, Final

from restem.config.data import DataSource, HubSource
from restem.errors import RestemError
from restem.rewards.code_asserts import defined, entry_of
from restem.rewards.code_spec import Spec
from restem.tasks.code import Fields, checked, list_of
from restem.tasks.problem import SHOT, Problem
from restem.tasks.sources import Reader, Row
from restem.tasks.task import Task

SHOT_IDS: Final = (2, 3, 4)
TASK_IDS: Final = {"shots": range(1, 11), "test": range(11, 511), "train": range(511, 975)}
HUB_FILES: Final = {"shots": ("prompt",), "test": ("test",), "train": ("validation", "train")}


def question(text: str) -> str:
    """Put a problem as the paper's prompt does."""
    return f"You are an expert Python programmer, and here is your task: {text}\n[BEGIN]\n"


def answer(solution: str) -> str:
    """Frame a program as it follows `[BEGIN]`."""
    return solution.removesuffix("\n[DONE]\n\n").strip("\r\n") + "\n[DONE]\n\n"


def files(source: DataSource, split: str) -> tuple[str, ...]:
    """Name the files of a split: locally all are in one. The official validation is training."""
    if isinstance(source, HubSource):
        return tuple(f"full/{name}-00000-of-00001.parquet" for name in HUB_FILES[split])
    return ("mbpp/mbpp.jsonl.gz",)


def load(reader: Reader, split: str) -> list[Problem]:
    """Read an official split by its task numbers, or the few-shot prompt."""
    rows = [row for file in files(reader.source, split) for row in reader.rows(file)]
    wanted = SHOT_IDS if split == "shots" else TASK_IDS[split]
    return [_read(row, split) for row in rows if _number(row) in wanted]


def spec_of(fields: Fields, where: str) -> Spec:
    """Return the tests of a problem given by the benchmark's own fields, sanitized or not."""
    tests = list_of(fields, "test_list", where) + list_of(fields, "challenge_test_list", where)
    imports = "\n".join(list_of(fields, "test_imports", where))
    reference = fields.get("code")
    known = defined(reference) if isinstance(reference, str) else []
    setup = str(fields.get("test_setup_code") or "")
    return checked(
        lambda: Spec(
            kind="asserts",
            entry=entry_of(tests, known),
            tests="\n".join(test.strip() for test in tests),
            setup=f"{imports}\n{setup}".strip(),
        ),
        where,
    )


def _read(row: Row, split: str) -> Problem:
    code = row.text("code").replace("\r\n", "\n")
    tests = "\n".join(list_of(row.values, "test_list", row.where))
    return Problem(
        id=f"mbpp/{_number(row)}",
        question=f"{row.text('text')} Your code should pass these tests:\n\n{tests}",
        answer=spec_of(row.values, row.where).dump(),
        solutions={SHOT if split == "shots" else "human": code},
    )


def _number(row: Row) -> int:
    number: Any = row.values.get("task_id")
    if isinstance(number, int):
        return number
    raise RestemError("field 'task_id' is not a number", row.where, "correct the row")


def gold_of(fields: Fields, where: str) -> str:
    """Return the tests of a problem as JSON."""
    return spec_of(fields, where).dump()


TASK = Task(
    name="mbpp",
    files=files,
    load=load,
    question=question,
    answer=answer,
    stop=("[DONE]", "</s>", "<|im_end|>"),
    verifier="code",
    markers=(),
    gold=gold_of,
    hint="",
)
