import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from restem.config.data import EmbeddedSource, HubSource, LocalSource, TaskData
from restem.errors import RestemError
from restem.rewards.math import grade
from restem.tasks import gsm8k
from restem.tasks import hub as hub_client
from restem.tasks import math as math_task
from restem.tasks.registry import load_task
from restem.tasks.sources import Reader
from restem.tasks.splits import load_split
from restem.tasks.task import few_shot_prefix

NAMES = ["math", "gsm8k", "chain", "story", "knights"]
FOLDERS = ("algebra", "geometry", "precalculus")


def source_of(name, local):
    if name in ("math", "gsm8k"):
        return LocalSource(kind="local", directory=local, held_out=5)
    return EmbeddedSource(kind="embedded", pool=60)


@pytest.mark.parametrize("name", NAMES)
def test_a_task_is_found_by_name(name):
    assert load_task(name).name == name


@pytest.mark.parametrize("name", ["maths", "problem", "..errors", "", "os.path"])
def test_an_unknown_task_is_an_error(name):
    with pytest.raises(RestemError, match="there is no task"):
        load_task(name)


def test_the_nearest_task_is_named():
    with pytest.raises(RestemError, match="did you mean 'gsm8k'"):
        load_task("gsm8")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("split", ["train", "validation", "test", "shots"])
def test_every_reference_solution_is_correct_by_the_strict_policy(name, split, local):
    task = load_task(name)
    loaded = load_split(task, TaskData(source=source_of(name, local)), split)
    assert loaded.problems
    for problem in loaded.problems:
        for solution in problem.solutions.values():
            text = task.answer(solution)
            verdict = grade(problem.answer, text, "strict", task.markers)
            assert verdict.verdict == "correct", (problem, verdict)


@pytest.mark.parametrize("name", NAMES)
def test_framing_an_answer_twice_changes_nothing(name, local):
    task = load_task(name)
    framed = task.answer("  It is 5. \n")
    assert framed == task.answer(framed)
    assert framed.startswith(" It") and framed.endswith(".\n\n")


@pytest.mark.parametrize("name", NAMES)
def test_shots_and_question_join_without_a_seam(name, local):
    task = load_task(name)
    data = TaskData(source=source_of(name, local))
    shots = load_split(task, data, "shots").problems
    prompt = few_shot_prefix(task, shots) + task.question("Why?")
    blocks = prompt.split("\n\n" + task.question("").split("\n")[0].split("{")[0].strip())
    assert len(blocks) == len(shots) + 1
    assert not prompt.endswith(" ")  # the space belongs to the answer: tokens differ otherwise
    assert not any(
        stop in task.answer(shot.solutions["shot"]).strip() for shot in shots for stop in task.stop
    )


@pytest.mark.parametrize(
    ("name", "file"), [("math", "minerva_math_4shot"), ("gsm8k", "gsm8k_cot_8shot")]
)
def test_the_prompt_is_that_of_lm_evaluation_harness(name, file, real_data):
    task = load_task(name)
    data = TaskData(source=LocalSource(kind="local", directory=real_data))
    shots = load_split(task, data, "shots").problems
    assert few_shot_prefix(task, shots) == (real_data / f"prompts/{file}.txt").read_text()


def test_a_math_target_ends_in_the_final_answer_sentence(local):
    reader = Reader(source_of("math", local), {})
    problem = math_task.load(reader, "train")[0]
    assert math_task.answer(problem.solutions["human"]) == (
        " We add and get $\\boxed{1}$.\n"
        "Final Answer: The final answer is $1$. I hope it is correct.\n\n"
    )


def test_a_problem_without_a_boxed_answer_has_no_reference(local):
    problem = math_task.load(Reader(source_of("math", local), {}), "train")[4]
    assert (problem.answer, problem.solutions) == (None, {})


def test_gsm8k_annotations_go_and_steps_become_sentences():
    text = "He has 2*3=<<2*3=6>>6 pens\nHe buys $<<5+0=5>>5 worth.\n\n So many!\n"
    assert gsm8k.chain_of_thought(text, "1,234") == (
        "He has 2*3=6 pens. He buys $5 worth. So many! The answer is 1,234."
    )


def test_the_level_of_a_gsm8k_problem_is_the_number_of_its_marked_calculations(local):
    solutions = ("<<1+1=2>>2, so <<2+1=3>>3\n#### 3", "<<1+1=2>>2\n#### 2", "2\n#### 2")
    lines = "".join(f"{json.dumps({'question': s, 'answer': s})}\n" for s in solutions)
    (local / "gsm8k/train.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    problems = gsm8k.load(Reader(source_of("gsm8k", local), {}), "train")
    assert [problem.level for problem in problems] == [2, 1, None]


@pytest.mark.parametrize(
    ("file", "row", "message"),
    [
        ("math/test.jsonl.gz", {"problem": "p"}, "'solution' is missing"),
        ("math/test.jsonl.gz", {"problem": "p", "solution": "s", "level": "Level 9"}, "level '9'"),
        ("gsm8k/test.jsonl.gz", {"question": "q", "answer": "5"}, "no `#### n`"),
        ("gsm8k/test.jsonl.gz", {"question": "q", "answer": "#### "}, "no `#### n`"),
    ],
)
def test_a_malformed_row_is_named(file, row, message, local):
    name = file.split("/")[0]
    (local / file).write_bytes(gzip.compress(json.dumps(row).encode()))
    with pytest.raises(RestemError, match=message) as error:
        load_task(name).load(Reader(source_of(name, local), {}), "test")
    assert error.value.where == f"{file}, row 1"


@pytest.fixture
def hub(local, tmp_path, monkeypatch):
    """Lay the made-up problems out as the hub's datasets are."""
    for name in ("math", "gsm8k"):
        for split in ("train", "test"):
            reader = Reader(source_of(name, local), {})
            rows = [dict(row.values) for row in reader.rows(f"{name}/{split}.jsonl.gz")]
            for row in rows:
                row.pop("id", None)
                if "subject" in row:
                    row["type"] = row.pop("subject")
            folders = FOLDERS if name == "math" else ("main",)
            for index, folder in enumerate(folders):
                path = tmp_path / f"hub/{folder}/{split}-00000-of-00001.parquet"
                path.parent.mkdir(parents=True, exist_ok=True)
                pq.write_table(pa.Table.from_pylist(rows[index :: len(folders)]), path)
    monkeypatch.setattr(hub_client, "download", lambda *place: tmp_path / "hub" / place[2])

    def source(name):
        folders = FOLDERS if name == "math" else ("main",)
        files = {
            split: {f"{folder}/{split}-00000-of-00001.parquet": None for folder in folders}
            for split in ("train", "test")
        }
        return HubSource(
            kind="hub", id="made/up", revision="a" * 40, files=files,
            prompts=local / "prompts", held_out=5,
        )  # fmt: skip

    return source


@pytest.mark.parametrize("name", ["math", "gsm8k"])
@pytest.mark.parametrize("split", ["train", "validation", "test", "shots"])
def test_hub_and_directory_give_the_same_problems_in_the_same_order(name, split, local, hub):
    task = load_task(name)
    ours = load_split(task, TaskData(source=source_of(name, local)), split)
    theirs = load_split(task, TaskData(source=hub(name)), split)

    def content(loaded):
        return [(p.question, p.answer, p.level, p.subject, p.solutions) for p in loaded.problems]

    assert content(ours) == content(theirs)
    assert ours.dropped == theirs.dropped


def test_a_hub_source_without_prompts_reads_none(hub):
    zero_shot = hub("gsm8k").model_copy(update={"prompts": None})
    data = TaskData(source=zero_shot, shots=0)
    assert load_split(load_task("gsm8k"), data, "shots").problems == []
    assert len(load_split(load_task("gsm8k"), data, "train").files) == 1


@pytest.mark.parametrize("name", ["chain", "story"])
def test_an_embedded_task_refuses_files(name, local):
    data = TaskData(source=LocalSource(kind="local", directory=local))
    with pytest.raises(RestemError, match="embedded"):
        load_split(load_task(name), data, "train")
