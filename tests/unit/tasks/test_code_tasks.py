"""The code tasks on a small sample of our own, and on the benchmarks where a machine has them."""

import json
import runpy
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from restem.cli import cli
from restem.config.data import EmbeddedSource, LocalSource, TaskData
from restem.config.reward import Code, Reward
from restem.errors import RestemError
from restem.rewards.code import open_verifier
from restem.rewards.verifier import Attempt
from restem.tasks import apps, humaneval, leetcode, mbpp, program
from restem.tasks.registry import load_task
from restem.tasks.sources import Reader
from restem.tasks.splits import load_split
from restem.tasks.task import few_shot_prefix

NAMES = ["apps", "humaneval", "leetcode", "mbpp", "program"]
write_rows = runpy.run_path(str(Path(__file__).with_name("conftest.py")))["write_rows"]


def humaneval_row(number):
    return {
        "task_id": f"HumanEval/{number}",
        "prompt": f'def add_{number}(x: float) -> float:\n    """ Add {number} to x. """\n',
        "entry_point": f"add_{number}",
        "canonical_solution": f"    return x + {number}\n",
        "test": "METADATA = {}\n\n\ndef check(candidate):\n"
        + (
            f"    assert candidate(1) == {number + 1}\n"
            if number % 2
            else f"    assert abs(candidate(0.5) - {number + 0.5}) < 1e-6\n"
        ),
    }


def mbpp_row(number):
    return {
        "task_id": number,
        "text": f"Write a function to multiply by {number}.",
        "code": f"def times_{number}(x):\r\n  return x * {number}",
        "test_setup_code": "",
        "test_list": [f"assert times_{number}({x}) == {x * number}" for x in (1, 2, 3)],
        "challenge_test_list": [],
    }


def apps_row(number, repo_split):
    call = number % 2
    solve = (
        f"class Solution:\n    def f(self, x: List[int]) -> List[int]:\n        return x[:{number}]"
    )
    return {
        "problem_id": number,
        "question": f"Problem {number}: keep the first {number}, or print the sum and {number}.",
        "input_output": {
            "fn_name": "f",
            "inputs": [[list(range(number + 9))]],
            "outputs": [[list(range(number))]],
        }
        if call
        else {"inputs": ["1 2\n"], "outputs": [f"{3 + number}\n"]},
        "starter_code": solve.rpartition("        ")[0] if call else "",
        "difficulty": "introductory",
        "repo_split": repo_split,
        "solutions": [solve] if call else [f"print(sum(map(int, input().split())) + {number})"],
        "type": "call" if call else "stdin",
    }


LIST_NODE = (
    "from typing import *\nclass ListNode:\n    def __init__(self, val=0, next=None):\n"
    "        self.val, self.next = val, next\n"
    "def list_node(values):\n    head = None\n"
    "    for value in reversed(values):\n        head = ListNode(value, head)\n    return head\n"
    "def is_same_list(a, b):\n    while a and b and a.val == b.val:\n"
    "        a, b = a.next, b.next\n    return a is None and b is None\n"
)


def leetcode_row(name):
    starter = (
        "class Solution:\n    def turn(self, head: Optional[ListNode]) -> Optional[ListNode]:\n"
    )
    body = "        last = None\n        while head:\n            following = head.next\n"
    body += "            head.next, last, head = last, head, following\n        return last\n"
    return {
        "task_id": name,
        "prompt": LIST_NODE,
        "completion": starter + body,
        "entry_point": "Solution().turn",
        "test": "def check(candidate):\n    assert is_same_list(candidate(head=list_node([1, 2])),"
        " list_node([2, 1]))\n    assert candidate(head = list_node([])) == None\n",
        "query": f"Turn the list of {name} around.\n\n```python\n{starter}```",
        "meta": {"difficulty": "Easy"},
    }


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    rows = [humaneval_row(number) for number in range(4)]
    write_rows(folder / "humaneval/HumanEval.jsonl.gz", rows)
    ids = [1, 2, 3, 4, 11, 12, 511, 601, 602]
    write_rows(folder / "mbpp/mbpp.jsonl.gz", [mbpp_row(number) for number in ids])
    rows = [apps_row(number, "val" if number == 7 else "train") for number in range(4, 10)]
    rows += [apps_row(number, "train") for number in apps.SHOT_IDS]
    rows += [{**apps_row(99, "train"), "input_output": {"inputs": [], "outputs": []}}]
    rows += [{**apps_row(100, "train"), "difficulty": "interview"}]
    write_rows(folder / "apps/train_intro.jsonl.gz", rows)
    for name in ("train-v0.2.0", "test-v0.3.1"):
        rows = [leetcode_row(title) for title in (*leetcode.SHOT_IDS, f"one-of-{name}")]
        write_rows(folder / f"leetcode/{name}.jsonl.gz", rows)
    return LocalSource(kind="local", directory=folder, held_out=0)


@pytest.fixture(scope="module")
def verifier():
    reward = Reward(code=Code(packages=["sortedcontainers"]))
    with open_verifier(reward, ()) as opened:
        yield opened


def source_of(name, sample):
    return EmbeddedSource(kind="embedded", pool=20) if name == "program" else sample


def splits_of(name):
    return ["test", "shots"] if name == "humaneval" else ["train", "test", "shots"]


@pytest.mark.parametrize("name", NAMES)
def test_every_reference_solution_of_the_sample_passes(name, sample, verifier):
    task = load_task(name)
    for split in splits_of(name):
        loaded = load_split(task, TaskData(source=source_of(name, sample)), split)
        assert loaded.problems, split
        attempts = [
            Attempt(problem.answer, task.answer(solution))
            for problem in loaded.problems
            for solution in problem.solutions.values()
            if problem.answer is not None
        ]
        assert attempts or (name, split) == ("humaneval", "shots")
        verdicts = verifier.verify(attempts, "strict")
        assert {verdict.layer for verdict in verdicts} <= {"passed"}, verdicts


@pytest.mark.parametrize("name", NAMES)
def test_another_problems_solution_does_not_pass(name, sample, verifier):
    task = load_task(name)
    problems = load_split(task, TaskData(source=source_of(name, sample)), "test").problems
    if len(problems) < 2:
        problems += load_split(task, TaskData(source=source_of(name, sample)), "train").problems
    wrong = [next(iter(problem.solutions.values())) for problem in problems]
    wrong = [*wrong[1:], wrong[0]]
    pairs = zip(problems, wrong, strict=True)
    attempts = [Attempt(problem.answer, task.answer(text)) for problem, text in pairs]
    if name != "leetcode":  # its sample has one problem under several names
        assert all(v.reward == 0 for v in verifier.verify(attempts, "strict"))
    empty = [Attempt(problem.answer, "") for problem in problems]
    assert {v.layer for v in verifier.verify(empty, "flexible")} == {"no program found"}


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_is_framed_once_and_keeps_its_indentation(name):
    task = load_task(name)
    framed = task.answer("    return x\n")
    assert framed == task.answer(framed)
    assert "return x" in framed and framed.endswith("\n\n")
    if name == "humaneval":
        assert framed.startswith("    return")


@pytest.mark.parametrize("name", NAMES)
def test_a_few_shot_prompt_holds_no_stop_and_joins_without_a_seam(name, sample):
    task = load_task(name)
    shots = load_split(task, TaskData(source=source_of(name, sample)), "shots").problems
    assert shots
    prompt = few_shot_prefix(task, shots) + task.question("Why?")
    assert not prompt.endswith(" ")
    for shot in shots:
        body = task.answer(shot.solutions["shot"])
        cut = min((body.find(stop) for stop in task.stop if stop in body), default=len(body))
        assert body[:cut].strip() == body.replace("```", "").replace("[DONE]", "").strip()


def test_the_splits_of_one_file_are_disjoint(sample):
    for name in ("apps", "mbpp"):
        task = load_task(name)
        parts = [
            {p.id for p in load_split(task, TaskData(source=sample), split).problems}
            for split in ("train", "test", "shots")
        ]
        assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])


def test_problems_without_tests_are_left_out_with_a_reason(sample):
    loaded = load_split(load_task("apps"), TaskData(source=sample), "train")
    assert loaded.dropped["no gold answer"] == 1
    assert all(problem.answer for problem in loaded.problems)


def test_problems_of_train_and_test_have_numbers_of_their_own(tmp_path):
    """APPS numbers each split from 0, and its original files call the number `id`."""
    for split in ("train", "test"):
        row = apps_row(4000, split)
        del row["repo_split"]
        row = {**row, "id": row.pop("problem_id"), "input_output": json.dumps(row["input_output"])}
        rows = [{**row, "solutions": "" if split == "test" else json.dumps(row["solutions"])}]
        write_rows(tmp_path / f"{split}.jsonl.gz", [*rows, {**row, "difficulty": "interview"}])
    files = {split: {f"{split}.jsonl.gz": 2} for split in ("train", "test")}
    source = LocalSource(kind="local", directory=tmp_path, files=files, held_out=0)
    for split, sources in (("train", ["human"]), ("test", [])):
        (problem,) = load_split(load_task("apps"), TaskData(source=source), split).problems
        assert (problem.id, list(problem.solutions)) == (f"apps/{split}/4000", sources)


def test_humaneval_has_no_training_split(sample):
    with pytest.raises(RestemError, match="no train split"):
        humaneval.load(Reader(sample, {}), "train")


def test_tests_of_hub_layouts_are_texts(sample):
    row = apps_row(5, "train")
    hub = {**row, "input_output": json.dumps(row["input_output"]), "solutions": "[]"}
    assert apps.spec_of(hub, "x") == apps.spec_of(row, "x")
    with pytest.raises(RestemError, match="not JSON"):
        apps.spec_of({**row, "input_output": "{"}, "x")


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("humaneval", {"prompt": "x"}),
        ("humaneval", {**humaneval_row(1), "test": ""}),
        ("mbpp", {}),
        ("mbpp", {"test_list": "assert f(1) == 1"}),
        ("apps", {"input_output": {"inputs": ["1"], "outputs": []}}),
        ("apps", {}),
        ("leetcode", {"prompt": "", "entry_point": "f"}),
    ],
)
def test_fields_that_are_not_the_benchmarks_are_refused(name, broken):
    with pytest.raises(RestemError):
        load_task(name).gold(broken, "line 1")


def test_a_programs_tests_do_not_stand_in_its_problem():
    made = program.TASK.load(Reader(EmbeddedSource(kind="embedded", pool=30), {}), "train")
    assert len({p.question for p in made}) == 30
    for problem in made:
        assert len(json.loads(problem.answer)["inputs"]) >= 3


def test_grading_lines_of_a_benchmark_from_the_command_line(tmp_path):
    rows = [
        {"id": 1, "problem": humaneval_row(1), "completion": "    return x + 1\n"},
        {"id": 2, "problem": humaneval_row(2), "completion": "    return x\n"},
        {"id": 3, "problem": humaneval_row(3), "completion": ""},
        {"id": 4, "problem": {}, "completion": "x"},
    ]
    lines, graded = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ["grade", "--task", "humaneval", "--input", str(lines), "--output", str(graded)]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0, done.output
    verdicts = [json.loads(line)["verdict"] for line in graded.read_text().splitlines()]
    assert verdicts == ["passed", "wrong answer", "no program found", "error"]


def test_assertions_with_tolerances_and_imports_run_beside_the_program(verifier):
    fields = {
        "test_imports": ["import math", "from fractions import Fraction"],
        "test_list": [
            "assert math.isclose(half(3), 1.5, rel_tol=0.001)",
            "assert half(4) == Fraction(2)",
        ],
    }
    gold = mbpp.spec_of(fields, "x").dump()
    programs = ["def half(x): return x / 2", "def half(x): return x"]
    attempts = [Attempt(gold, text) for text in programs]
    assert [v.layer for v in verifier.verify(attempts, "strict")] == ["passed", "wrong answer"]


def real(name, split, real_data):
    source = LocalSource(kind="local", directory=real_data)
    problems = load_task(name).load(Reader(source, {}), split)
    return [problem for problem in problems if problem.answer and problem.solutions]


def layers(name, problems, verifier):
    task = load_task(name)
    attempts = [Attempt(p.answer, task.answer(next(iter(p.solutions.values())))) for p in problems]
    verdicts = verifier.verify(attempts, "strict")
    failed = {
        problem.id: verdict
        for problem, verdict in zip(problems, verdicts, strict=True)
        if verdict.layer != "passed"
    }
    return Counter(verdict.layer for verdict in verdicts), failed


def test_all_of_humaneval_passes(real_data, verifier):
    counts, failed = layers("humaneval", real("humaneval", "test", real_data), verifier)
    assert counts == {"passed": 164}, failed


def test_all_of_mbpp_passes(real_data, verifier):
    rows = Reader(LocalSource(kind="local", directory=real_data), {}).rows("mbpp/mbpp.jsonl.gz")
    attempts = [Attempt(mbpp.spec_of(r.values, r.where).dump(), r.text("code")) for r in rows]
    verdicts = verifier.verify(attempts, "strict")
    assert Counter(v.layer for v in verdicts) == {"passed": 974}, [
        (row.values["task_id"], verdict)
        for row, verdict in zip(rows, verdicts, strict=True)
        if verdict.layer != "passed"
    ]


def test_the_human_solutions_of_apps_pass_where_their_source_says_so(real_data, verifier):
    problems = [p for split in ("train", "test") for p in real("apps", split, real_data)]
    _, failed = layers("apps", problems, verifier)
    assert len(problems) == 51
    assert set(failed) == {f"apps/train/{number}" for number in (2378, 2382, 2386, 2398, 2400)}


def test_counts_of_the_real_splits(real_data):
    data = TaskData(source=LocalSource(kind="local", directory=real_data, held_out=100))
    for name, split, count in (
        ("apps", "train", 2176 - 100 - 2),
        ("apps", "test", 221),
        ("apps", "shots", 2),
        ("mbpp", "train", 464 - 100),
        ("mbpp", "test", 500),
        ("mbpp", "shots", 3),
        ("leetcode", "test", 228),
        ("leetcode", "shots", 2),
    ):
        assert len(load_split(load_task(name), data, split).problems) == count, (name, split)


def test_reference_solutions_of_leetcode_pass(real_data, verifier):
    """A fixed tenth of them: every solution of the training file takes a minute."""
    counts, failed = layers("leetcode", real("leetcode", "train", real_data)[::10], verifier)
    assert counts["passed"] >= 187, failed
