"""BIG-Bench Hard (Suzgun et al. 2022, arXiv 2210.09261): 27 files that are counted as 23 tasks.

The three sizes of logical deduction and of tracking shuffled objects are one task each; a task is
a problem's subject. Three worked examples stand before a question, those of its own task, with
their chain of thought or with their answers alone. There is a test split only: nothing of it may
be trained on, and its canary line is never read.
"""

import re
from collections.abc import Callable
from typing import Final

from restem.config.data import DataSource, LocalSource
from restem.errors import RestemError
from restem.tasks.problem import INTRO, SHOT, Problem
from restem.tasks.sources import Reader, Row
from restem.tasks.task import Task

PROMPT_FILE: Final = "prompts/bbh_cot_3shot_lm_eval.json"
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
    after = STEP_BY_STEP if thinking else ""
    return Task(
        name=name,
        files=_files,
        load=_loader(thinking),
        question=lambda text: f"Q: {text}\nA:{after}",
        answer=_reasoned if thinking else _plain,
        stop=("\n\nQ:", "\n\n\n") if thinking else ("\n",),
        verifier="exact",
        markers=("answer_is",) if thinking else (),
        shots_by_subject=True,
    )


def _reasoned(solution: str) -> str:
    return f"{solution.strip()}\n\n"


def _plain(solution: str) -> str:
    return f" {solution.strip()}\n\n"


def _files(source: DataSource, split: str) -> tuple[str, ...]:
    if not isinstance(source, LocalSource):
        raise RestemError(
            f"BIG-Bench Hard is read from local files, not from a {source.kind} source",
            "source.kind",
            "set it to local; the files are bbh/*.json of suzgunmirac/BIG-Bench-Hard",
        )
    if split == "shots":
        return (PROMPT_FILE,)
    return tuple(f"bbh/{name}.json" for name in FILES) if split == "test" else ()


def _loader(thinking: bool) -> Callable[[Reader, str], list[Problem]]:
    def load(reader: Reader, split: str) -> list[Problem]:
        files = _files(reader.source, split)
        if split == "shots":
            return _shots(reader.rows(files[0]), thinking)
        found = zip(FILES, files, strict=False)
        return [_problem(row, name) for name, file in found for row in reader.rows(file)]

    return load


def _problem(row: Row, file: str) -> Problem:
    return Problem(
        id=f"{file}/{row.index}",
        question=row.text("input"),
        answer=row.text("target"),
        subject=subject_of(file),
    )


def _shots(rows: list[Row], thinking: bool) -> list[Problem]:
    """Return three examples a task; the sizes of a task share theirs, so one file's are taken."""
    shots: list[Problem] = []
    files: dict[str, str] = {}
    for row in rows:
        file = row.text("name")
        subject = subject_of(file)
        if files.setdefault(subject, file) != file:
            continue
        solution = row.text("target")
        first = not any(shot.subject == subject for shot in shots)
        intro = {INTRO: row.text("description")} if first else {}
        shown = solution if thinking else final_answer(solution, row.where)
        shots.append(
            Problem(
                id=f"bbh/shots/{file}/{len(shots)}", question=row.text("input"),
                answer=final_answer(solution, row.where), subject=subject,
                solutions={SHOT: shown, **intro},
            )
        )  # fmt: skip
    return shots


def final_answer(solution: str, where: str) -> str:
    """Return what a worked example concludes with."""
    _, marker, answer = solution.rpartition("answer is ")
    if not marker:
        raise RestemError("the worked example has no `answer is`", where, "correct the file")
    return answer.strip().removesuffix(".")
