"""APPS (Hendrycks et al. 2021), introductory problems: programs from stdin to stdout, or functions.

The prompt is the benchmark's. The few-shot prompt of the ReST-EM paper is not public; here it has
two training problems with short human solutions, one of each kind.
"""

from typing import Any, Final

from restem.config.data import DataSource
from restem.errors import RestemError
from restem.rewards.code_spec import Spec
from restem.tasks.code_task import COMMON_IMPORTS, Fields, code_task, json_of, make_spec
from restem.tasks.problem import SHOT, Problem
from restem.tasks.sources import Reader, Row, chosen

LOCAL: Final = "apps/train_intro.jsonl.gz"
SHOT_IDS: Final = (2389, 2404)
DIFFICULTY: Final = "introductory"
# The local file is a packing of the training split; its hold-out is used as the test split.
LOCAL_SPLITS: Final = {"train": "train", "test": "val"}


def question(text: str) -> str:
    """Return a problem as the benchmark has it."""
    return f"QUESTION:\n{text}\nANSWER:\n"


def answer(solution: str) -> str:
    """Frame a program as it follows `ANSWER:`."""
    return solution.strip("\r\n").rstrip() + "\n\n"


def files(source: DataSource, split: str) -> tuple[str, ...]:
    """Name the files of a split; the few-shot problems are in the training file."""
    return chosen(source, split, [LOCAL])


def load(reader: Reader, split: str) -> list[Problem]:
    """Read the introductory problems that have tests, or the few-shot prompt."""
    names = files(reader.source, split)
    rows = [row for file in names for row in reader.rows(file, keep=_is_introductory)]
    if split == "shots":
        return [_read(row, "train", SHOT) for row in rows if _number(row) in SHOT_IDS]
    own = LOCAL_SPLITS[split]
    packed = LOCAL in names  # then both splits are parts of the training split
    return [
        _read(row, "train" if packed else split, "human")
        for row in rows
        if row.values.get("repo_split", own) == own
    ]


def _is_introductory(fields: Fields) -> bool:
    return bool(fields.get("difficulty") == DIFFICULTY)


def _number(row: Row) -> int:
    """Return the number of a problem in its split, which the original files call `id`."""
    return row.integer("problem_id" if "problem_id" in row.values else "id")


def spec_of(fields: Fields, where: str) -> Spec:
    """Return the tests of a problem, given the benchmark's own fields."""
    tests = json_of(fields, "input_output", where)
    if not isinstance(tests, dict):
        raise RestemError("there are no tests", where, "give input_output")
    inputs, outputs = tests.get("inputs") or [], tests.get("outputs") or []
    name, starter = tests.get("fn_name"), str(fields.get("starter_code") or "")
    if name:
        entry = f"Solution().{name}" if "class Solution" in starter else str(name)
        kind = {"kind": "calls", "compare": "sequences", "entry": entry, "prefix": starter}
    else:
        kind = {"kind": "stdin", "compare": "numbers"}
        inputs, outputs = _texts(inputs), _texts(outputs)
    return make_spec(where, preamble=COMMON_IMPORTS, inputs=inputs, expected=outputs, **kind)


def _texts(values: Any) -> Any:
    """Join the lines of texts that are lists of lines, as in some problems."""
    if not isinstance(values, list):
        return values
    return ["\n".join(map(str, v)) if isinstance(v, list) else v for v in values]


def _read(row: Row, split: str, source: str) -> Problem:
    spec = _spec(row)
    starter = str(row.values.get("starter_code") or "")
    form = "Call-Based" if spec and spec.kind == "calls" else "Standard Input"
    solutions = json_of(row.values, "solutions", row.where) or []
    return Problem(
        id=f"apps/{split}/{_number(row)}",  # numbers are those of the split
        question=f"{row.text('question').strip()}\n{starter}\nUse {form} format",
        answer=spec.dump() if spec else None,
        subject=spec.kind if spec else "",
        solutions={source: solutions[0]} if solutions else {},
    )


def _spec(row: Row) -> Spec | None:
    """Return the tests; None where the benchmark has none."""
    tests = json_of(row.values, "input_output", row.where)
    return spec_of(row.values, row.where) if tests and tests.get("inputs") else None


TASK = code_task(
    "apps", files, load, question, answer, ("QUESTION:", "</s>", "<|im_end|>"), spec_of
)
