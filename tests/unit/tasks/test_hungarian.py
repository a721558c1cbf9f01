"""The Hungarian exam is asked as in the paper, and keeps its questions without a gold answer."""

import json
from pathlib import Path
from typing import Any

import pytest

from restem.config.data import TaskData
from restem.errors import RestemError
from restem.tasks.grading_sheet import entries_of
from restem.tasks.problem import POINTS
from restem.tasks.registry import load_task
from restem.tasks.splits import load_split
from restem.tasks.task import few_shot_prefix
from restem.tools.grade import grade_pairs

TASK = load_task("hungarian")


def data(folder: Path, **more: Any) -> TaskData:
    source = {"kind": "local", "directory": folder, "held_out": 0}
    return TaskData.model_validate({"source": source, **more})


@pytest.fixture
def exam(local: Path) -> Path:
    """Return made-up data in the exam's layout: twelve questions, one of them the worked one."""
    rows = [{"problem": f"Draw {i} trees.", "idx": i, "solution": ""} for i in range(11)]
    rows.append({"problem": "What is  $2+2$?", "idx": 11, "solution": ""})
    write(local, rows)
    return local


def write(folder: Path, rows: list[dict[str, Any]]) -> None:
    (folder / "hungarian").mkdir(exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "hungarian/test.jsonl").write_text(text)


def test_questions_without_a_gold_answer_are_kept_and_the_worked_one_is_not(exam: Path) -> None:
    loaded = load_split(TASK, data(exam), "test")
    assert sorted(p.id for p in loaded.problems) == [f"test/{i:02}" for i in range(11)]
    assert {p.answer for p in loaded.problems} == {None}
    assert loaded.dropped == {"in the few-shot prompt": 1}


def test_other_tasks_still_lose_problems_without_a_gold_answer(local: Path) -> None:
    dropped = load_split(load_task("math"), data(local), "train").dropped
    assert dropped["no gold answer"] == 1


def test_the_prompt_is_the_first_example_of_minerva(exam: Path) -> None:
    shots = load_split(TASK, data(exam), "shots").problems
    assert len(shots) == 1
    minerva = load_split(load_task("math"), data(exam), "shots").problems
    assert few_shot_prefix(TASK, shots) == few_shot_prefix(load_task("math"), minerva[:1])
    assert TASK.question("Draw.") == "Problem:\nDraw.\n\nSolution:"


def test_points_of_a_rubric_reach_the_sheet_when_the_file_has_them(exam: Path) -> None:
    write(
        exam, [{"problem": "A?", "points": 4}, {"problem": "B?"}, {"problem": "C?", "points": None}]
    )
    problems = load_split(TASK, data(exam), "test").problems
    assert {p.id: p.solutions.get(POINTS) for p in problems}["test/00"] == "4"
    drawn = [{"problem_id": p.id, "draw": 0, "completion": "x"} for p in problems]
    entries = entries_of(drawn, problems, "here")
    assert [(e.problem_id, e.of) for e in entries] == [
        ("test/00", "4"), ("test/01", None), ("test/02", None),
    ]  # fmt: skip


@pytest.mark.parametrize("points", [0, -1, 2.5, True, "3", [3]])
def test_points_that_are_no_whole_number_are_refused_with_their_row(
    exam: Path, points: Any
) -> None:
    write(exam, [{"problem": "A?"}, {"problem": "B?", "points": points}])
    with pytest.raises(RestemError, match=r"test\.jsonl, row 2"):
        load_split(TASK, data(exam), "test")


@pytest.mark.parametrize("split", ["train", "validation"])
def test_there_is_nothing_to_train_on(exam: Path, split: Any) -> None:
    with pytest.raises(RestemError, match="no train split"):
        load_split(TASK, data(exam), split)


def test_the_file_of_the_hub_is_read_as_it_is(exam: Path) -> None:
    (exam / "test.csv").write_text('Question\n"Solve $x=""5""$,\nand draw it."\n')
    source = {"kind": "local", "directory": exam, "files": {"test": {"test.csv": 1}}}
    (problem,) = load_split(TASK, TaskData.model_validate({"source": source}), "test").problems
    assert problem.question == 'Solve $x="5"$,\nand draw it.'


def test_a_sheet_is_in_the_order_of_the_exam_whatever_was_drawn_first(exam: Path) -> None:
    problems = load_split(TASK, data(exam), "test").problems
    drawn = [{"problem_id": p.id, "draw": d, "completion": "x"} for d in (1, 0) for p in problems]
    entries = entries_of(drawn, problems, "here")
    assert [(e.problem_id, e.draw) for e in entries] == [
        (f"test/{i:02}", draw) for i in range(11) for draw in (0, 1)
    ]


def test_a_completion_of_no_problem_is_refused() -> None:
    with pytest.raises(RestemError, match="'test/99' is not among the problems"):
        entries_of([{"problem_id": "test/99", "draw": 0, "completion": ""}], [], "here")


def test_no_program_pretends_to_grade_it() -> None:
    with pytest.raises(RestemError, match="graded by a human"):
        grade_pairs([("4", "4")], "hungarian")


def test_the_real_exam_has_33_questions_and_none_is_lost(real_data: Path) -> None:
    loaded = load_split(TASK, data(real_data), "test")
    assert len(loaded.problems) == 33
    assert loaded.dropped == {}
    assert len({p.question for p in loaded.problems}) == 33
    shots = load_split(TASK, data(real_data), "shots").problems
    assert "domain of the expression" in few_shot_prefix(TASK, shots)
