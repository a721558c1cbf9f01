"""BIG-Bench Hard (Suzgun et al. 2022, arXiv 2210.09261): 27 files that count as 23 tasks.

The three sizes of logical deduction and of tracking shuffled objects are one task each; the task is
the subject of a problem. The three worked examples of its own task precede a question, with their
chain of thought or with their answers only. There is only a test split: none of it may be trained
on, and its canary line is never read.
"""

import re
from collections.abc import Callable
from typing import Final

from restem.config.data import DataSource
from restem.errors import RestemError
from restem.tasks.problem import INTRO, SHOT, Problem
from restem.tasks.sources import Reader, Row, chosen, prompt_files
from restem.tasks.task import Task, no_split

PROMPT_FILE: Final = "bbh_cot_3shot_lm_eval.json"
STEP_BY_STEP: Final = " Let's think step by step.\n"

_SIZES: Final = re.compile(r"_(?:three|five|seven)_objects$")
_SIZED: Final = ("logical_deduction", "tracking_shuffled_objects")
_ONES: Final = (
    *("boolean_expressions", "causal_judgement", "date_understanding", "disambiguation_qa"),
    *("dyck_languages", "formal_fallacies", "geometric_shapes", "hyperbaton"),
    *("movie_recommendation", "multistep_arithmetic_two", "navigate", "object_counting"),
    *("penguins_in_a_table", "reasoning_about_colored_objects", "ruin_names"),
    *("salient_translation_error_detection", "snarks", "sports_understanding"),
    *("temporal_sequences", "web_of_lies", "word_sorting"),
)
FILES: Final = tuple(
    sorted(
        [*_ONES, *(f"{name}_{n}_objects" for name in _SIZED for n in ("three", "five", "seven"))]
    )
)


def subject_of(file: str) -> str:
    """Name the task that a file belongs to."""
    return _SIZES.sub("", file) if file.startswith(_SIZED) else file


def bbh_task(name: str, thinking: bool) -> Task:
    """Declare the benchmark with chain of thought, or with direct answers."""
    after, before = (STEP_BY_STEP, "") if thinking else ("", " ")
    return Task(
        name=name,
        files=_files,
        load=_loader(thinking),
        question=lambda text: f"Q: {text}\nA:{after}",
        answer=lambda solution: f"{before}{solution.strip()}\n\n",
        stop=("\n\nQ:", "\n\n\n") if thinking else ("\n",),
        verifier="exact",
        markers=("answer_is",) if thinking else (),
        shots_by_subject=True,
    )


def _files(source: DataSource, split: str) -> tuple[str, ...]:
    if split == "shots":
        in_wheel = [f"lm_eval/tasks/bbh/cot_fewshot/{name}.yaml" for name in FILES]
        return prompt_files(source, PROMPT_FILE, in_wheel)
    local = [f"bbh/{name}.json" for name in FILES]
    return chosen(source, split, local) if split == "test" else ()


def _name(file: str) -> str:
    """Name what a file holds: `snarks.json`, or on the hub `snarks/test-00000-of-00001.parquet`."""
    names = [part.partition(".")[0] for part in file.split("/")[::-1]]
    name = next((name for name in names if name in FILES), None)
    if name is None:
        raise RestemError(
            "the file is none of the benchmark's", file, f"name it after one of {', '.join(FILES)}"
        )
    return name


def _loader(thinking: bool) -> Callable[[Reader, str], list[Problem]]:
    def load(reader: Reader, split: str) -> list[Problem]:
        files = _files(reader.source, split)
        if split == "shots":
            return _shots([row for file in files for row in reader.rows(file)], thinking)
        if not files:
            raise no_split("BIG-Bench Hard", split)
        return [_problem(row, _name(file)) for file in files for row in reader.rows(file)]

    return load


def _problem(row: Row, file: str) -> Problem:
    return Problem(
        id=f"{file}/{row.index}",
        question=row.text("input"),
        answer=row.text("target"),
        subject=subject_of(file),
    )


def _shots(rows: list[Row], thinking: bool) -> list[Problem]:
    """Return three examples per task; the sizes of a task share them, so one file is enough."""
    shots: list[Problem] = []
    files: dict[str, str] = {}
    for row in rows:
        file = row.text("name")
        subject = subject_of(file)
        if files.setdefault(subject, file) != file:
            continue
        solution = row.text("target")
        answer = final_answer(solution, row.where)
        solutions = {SHOT: solution if thinking else answer}
        if not any(shot.subject == subject for shot in shots):
            solutions[INTRO] = row.text("description")
        shot_id = f"bbh/shots/{file}/{len(shots)}"
        shots.append(Problem(shot_id, row.text("input"), answer, None, subject, solutions))
    return shots


def final_answer(solution: str, where: str) -> str:
    """Return the answer at the end of a worked example."""
    _, marker, answer = solution.rpartition("answer is ")
    if not marker:
        raise RestemError("the worked example has no `answer is`", where, "correct the file")
    return answer.strip().removesuffix(".")
