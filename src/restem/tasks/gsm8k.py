"""Grade-school word problems: GSM8K (Cobbe et al. 2021) with the 8-shot chain of thought.

The prompt is that of Wei et al. 2022 (appendix G), as in lm-evaluation-harness. Its solutions are
one paragraph that ends in `The answer is N.`, and human solutions are rewritten to that form.
The level of a problem is the number of calculations that its human solution marks (`<<2*3=6>>`).
"""

import re
from typing import Final

from restem.answers.markers import ANSWER_IS, find
from restem.config.data import DataSource
from restem.errors import RestemError
from restem.tasks.problem import SHOT, Problem
from restem.tasks.sources import Reader, Row, chosen, prompt_files
from restem.tasks.task import Task

PROMPT_FILE: Final = "gsm8k_cot_8shot.json"
PROMPT_IN_WHEEL: Final = ("lm_eval/tasks/gsm8k/gsm8k-cot.yaml",)

_CALCULATION = re.compile(r"<<[^<>]*>>")


def question(text: str) -> str:
    """Return a problem as the chain-of-thought prompt has it."""
    return f"Q: {text}\nA:"


def answer(solution: str) -> str:
    """Frame a solution as it follows `A:`, with the blank line that ends it."""
    return f" {solution.strip()}\n\n"


def chain_of_thought(solution: str, gold: str) -> str:
    """Rewrite a human solution like the prompt's: no annotations, one paragraph, the answer."""
    steps = map(str.strip, _CALCULATION.sub("", solution).splitlines())
    sentences = [step if step[-1] in ".!?:" else f"{step}." for step in steps if step]
    return " ".join([*sentences, f"The answer is {gold}."])


def files(source: DataSource, split: str) -> tuple[str, ...]:
    """Name the files of a split, locally one."""
    if split == "shots":
        return prompt_files(source, PROMPT_FILE, PROMPT_IN_WHEEL)
    return chosen(source, split, [f"gsm8k/{split}.jsonl.gz"])


def load(reader: Reader, split: str) -> list[Problem]:
    """Read an original split, or the few-shot prompt."""
    rows = [row for file in files(reader.source, split) for row in reader.rows(file)]
    read = _read_shot if split == "shots" else _read_problem
    return [read(row, split, index) for index, row in enumerate(rows)]


def _read_problem(row: Row, split: str, index: int) -> Problem:
    solution, marker, gold = row.text("answer").rpartition("####")
    if not marker or not gold.strip():
        raise RestemError("the answer has no `#### n`", row.where, "correct the row")
    return Problem(
        id=f"{split}/{index}",  # the line number, in either layout
        question=row.text("question"),
        answer=gold.strip(),
        level=len(_CALCULATION.findall(solution)) or None,  # not every solution marks them
        solutions={"human": chain_of_thought(solution, gold.strip())},
    )


def _read_shot(row: Row, split: str, index: int) -> Problem:
    solution, gold = row.text("target"), find(row.text("target"), ANSWER_IS)
    name = f"gsm8k/{split}/{index}"
    return Problem(name, row.text("question"), gold, solutions={SHOT: solution})


TASK = Task(
    name="gsm8k",
    files=files,
    load=load,
    question=question,
    answer=answer,
    stop=("Q:", "</s>", "<|im_end|>"),
    verifier="math",
    markers=("answer_is",),
)
