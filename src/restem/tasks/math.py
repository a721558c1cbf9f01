"""Competition mathematics: MATH (Hendrycks et al. 2021) with Minerva's 4-shot prompt.

The prompt is that of Lewkowycz et al. 2022 (appendix D.2), as in lm-evaluation-harness. Its
solutions end in a sentence with the final answer, so that sentence is added to human solutions.
"""

from typing import Final

from restem.answers.markers import last_boxed
from restem.config.data import DataSource
from restem.errors import RestemError
from restem.tasks.problem import SHOT, Problem
from restem.tasks.sources import Reader, Row, chosen, prompt_files
from restem.tasks.task import Task

PROMPT_FILE: Final = "minerva_math_4shot.json"
PROMPT_IN_WHEEL: Final = ("lm_eval/tasks/minerva_math/utils.py",)


def question(text: str) -> str:
    """Return a problem as Minerva's prompt has it."""
    return f"Problem:\n{text}\n\nSolution:"


def answer(solution: str) -> str:
    """Frame a solution as it follows `Solution:`, with the blank line that ends it."""
    return f" {solution.strip()}\n\n"


def with_final_answer(solution: str, gold: str) -> str:
    """Add the last sentence of Minerva's solutions."""
    return f"{solution}\nFinal Answer: The final answer is ${gold}$. I hope it is correct."


def files(source: DataSource, split: str) -> tuple[str, ...]:
    """Name the files of a split: one locally, one for each subject on the hub."""
    if split == "shots":
        return prompt_files(source, PROMPT_FILE, PROMPT_IN_WHEEL)
    return chosen(source, split, [f"math/{split}.jsonl.gz"])


def load(reader: Reader, split: str) -> list[Problem]:
    """Read an original split, or the few-shot prompt."""
    read = _read_shot if split == "shots" else _read_problem
    return [
        read(row, split, file.partition("/")[0])
        for file in files(reader.source, split)
        for row in reader.rows(file)
    ]


def _read_problem(row: Row, split: str, folder: str) -> Problem:
    solution = row.text("solution")
    gold = last_boxed(solution)
    # The hub's layout has no ids, so there a row is identified by its place in its file.
    has_id = "id" in row.values
    return Problem(
        id=row.text("id").removesuffix(".json") if has_id else f"{split}/{folder}/row-{row.index}",
        question=row.text("problem"),
        answer=gold,
        level=_level(row),
        subject=row.text("subject" if "subject" in row.values else "type"),
        solutions={} if gold is None else {"human": with_final_answer(solution, gold)},
    )


def _read_shot(row: Row, split: str, folder: str) -> Problem:
    solution = row.text("solution")
    name, question, gold = f"math/{split}/{row.index}", row.text("problem"), last_boxed(solution)
    return Problem(name, question, gold, solutions={SHOT: solution})


def _level(row: Row) -> int | None:
    """Read `Level 3` as 3, and `Level ?`, which two rows have, as None."""
    stated = row.values.get("level")
    if isinstance(stated, int) and 1 <= stated <= 5:  # as MATH-500 has it
        return stated
    text = row.text("level").removeprefix("Level ")
    if text == "?":
        return None
    if text not in ("1", "2", "3", "4", "5"):
        raise RestemError(f"level {text!r} is not 1 to 5 or ?", row.where, "correct the row")
    return int(text)


TASK = Task(
    name="math",
    files=files,
    load=load,
    question=question,
    answer=answer,
    stop=("Problem:",),
    verifier="math",
    markers=("final_answer", "boxed"),
)
