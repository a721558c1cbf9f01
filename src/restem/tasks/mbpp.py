"""MBPP (Austin et al. 2021): a sentence and three assertions, solved by a function.

The prompt is the paper's: tasks 2, 3 and 4 are its worked examples. As in the benchmark, the
assertions are in the prompt, so a program may be written for its tests.
"""

from typing import Final

from restem.config.data import DataSource
from restem.rewards.code_asserts import defined, entry_of
from restem.rewards.code_spec import Spec
from restem.tasks.code_task import Fields, code_task, list_of, make_spec
from restem.tasks.problem import SHOT, Problem
from restem.tasks.sources import Reader, Row, chosen

SHOT_IDS: Final = (2, 3, 4)
TASK_IDS: Final = {"shots": range(1, 11), "test": range(11, 511), "train": range(511, 975)}


def question(text: str) -> str:
    """Return a problem as the paper's prompt has it."""
    return f"You are an expert Python programmer, and here is your task: {text}\n[BEGIN]\n"


def answer(solution: str) -> str:
    """Frame a program as it follows `[BEGIN]`."""
    return solution.removesuffix("\n[DONE]\n\n").strip("\r\n") + "\n[DONE]\n\n"


def files(source: DataSource, split: str) -> tuple[str, ...]:
    """Name the files of a split, locally one; the official validation split is used to train."""
    return chosen(source, split, ["mbpp/mbpp.jsonl.gz"])


def load(reader: Reader, split: str) -> list[Problem]:
    """Read an official split by its task numbers, or the few-shot prompt."""
    rows = [row for file in files(reader.source, split) for row in reader.rows(file)]
    ids = SHOT_IDS if split == "shots" else TASK_IDS[split]
    return [_read(row, split) for row in rows if row.integer("task_id") in ids]


def spec_of(fields: Fields, where: str) -> Spec:
    """Return the tests of a problem, given the benchmark's own fields, sanitized or not."""
    tests = list_of(fields, "test_list", where) + list_of(fields, "challenge_test_list", where)
    imports = "\n".join(list_of(fields, "test_imports", where))
    reference = fields.get("code")
    functions = defined(reference) if isinstance(reference, str) else []
    setup = str(fields.get("test_setup_code") or "")
    return make_spec(
        where,
        kind="asserts",
        entry=entry_of(tests, functions),
        tests="\n".join(test.strip() for test in tests),
        setup=f"{imports}\n{setup}".strip(),
    )


def _read(row: Row, split: str) -> Problem:
    code = row.text("code").replace("\r\n", "\n")
    tests = "\n".join(list_of(row.values, "test_list", row.where))
    return Problem(
        id=f"mbpp/{row.integer('task_id')}",
        question=f"{row.text('text')} Your code should pass these tests:\n\n{tests}",
        answer=spec_of(row.values, row.where).dump(),
        solutions={SHOT if split == "shots" else "human": code},
    )


TASK = code_task("mbpp", files, load, question, answer, ("[DONE]", "</s>", "<|im_end|>"), spec_of)
