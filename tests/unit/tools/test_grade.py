"""`restem grade` and `restem compare-graders` on files: every line is answered, in order."""

import errno
import json
import os
import random
from collections import Counter

import pytest
from click.testing import CliRunner

from restem.artifacts.schemas.loop import PROBLEMS, REWARDS
from restem.artifacts.tables import table, write_table
from restem.cli import cli
from restem.errors import RestemError
from restem.tools.compare_graders import compare_pairs, compare_rewards
from restem.tools.grade import grade_file, grade_pairs


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def graded(tmp_path, rows, **options):
    output = tmp_path / "out" / "verdicts.jsonl"
    grade_file("math", write(tmp_path / "in.jsonl", rows), output, **options)
    return lines(output)


PAIRS = [
    ("1/2", "0.5", "correct"),
    ("1/2", "so it is $\\boxed{\\frac{2}{4}}$.", "correct"),
    ("\\boxed{5}", "5", "correct"),
    ("we get $\\boxed{5}$", "#### 5", "correct"),
    ("5", "Final Answer: The final answer is $5$. I hope it is correct.", "correct"),
    ("5", "The answer is 6.", "incorrect"),
    ("x+1", "x-1", "incorrect"),
    ("5", "", "unextractable"),
    ("5", "\\boxed{}", "unextractable"),
    ("5", "no box closes \\boxed{5", "unextractable"),
    ("5", "9" * 100_000, "incorrect"),
    ("5", "\\boxed{" + "(" * 50_000, "unextractable"),
    ("", "5", "error"),
    ("5", "\x00\ud800", "incorrect"),
]


def test_each_line_has_its_verdict_in_order(tmp_path):
    rows = [{"id": i, "gold": g, "candidate": c} for i, (g, c, _) in enumerate(PAIRS)]
    graded_rows = graded(tmp_path, rows)
    assert [row["id"] for row in graded_rows] == list(range(len(PAIRS)))
    assert [row["verdict"] for row in graded_rows] == [verdict for *_, verdict in PAIRS]
    assert all(set(row) == {"id", "verdict", "layer"} for row in graded_rows)


def test_the_python_call_says_the_same_as_the_command():
    verdicts = grade_pairs([(gold, candidate) for gold, candidate, _ in PAIRS])
    assert [verdict.verdict for verdict in verdicts] == [verdict for *_, verdict in PAIRS]


def test_a_malformed_line_costs_one_line(tmp_path):
    good = json.dumps({"id": "a", "gold": "5", "candidate": "5"}).encode()
    bad = [
        b"", b"{", b"[1, 2]", b"null", b'{"id": 3}', b'{"gold": "5", "candidate": "5"}',
        b'{"id": 4, "gold": "5", "candidate": null}', b'{"id": 5, "gold": [], "candidate": "5"}',
        b"\xff\xfe", b"[" * 100_000, b'{"id": 6, "gold": "5", "candidate": true}', b"\x00",
        b'{"id": 7, "gold": "5", "candidate": ' + b"1" * 5000 + b"}",
    ]  # fmt: skip
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(b"\n".join(piece for line in bad for piece in (good, line)))
    counts = grade_file("math", source, output)
    graded_rows = lines(output)
    assert len(graded_rows) == 2 * len(bad)
    assert counts == {"correct": len(bad), "error": len(bad)}
    assert all(
        row == {"id": "a", "verdict": "correct", "layer": "string"} for row in graded_rows[::2]
    )
    for place, row in enumerate(graded_rows[1::2]):
        assert (row["verdict"], row["layer"]) == ("error", "input")
        assert row["line"] == 2 * place + 2
        assert row["problem"]
    assert [row["id"] for row in graded_rows[1::2] if row["id"]] == [3, 4, 5, 6]


def test_numbers_stand_for_their_text(tmp_path):
    graded_rows = graded(tmp_path, [{"id": None, "gold": 5, "candidate": 5.0}])
    assert graded_rows == [{"id": None, "verdict": "correct", "layer": "rational"}]


def test_details_show_what_was_compared(tmp_path):
    row = {"id": 1, "gold": "x = 1/2", "candidate": "\\boxed{0.51}"}
    (graded_rows,) = graded(tmp_path, [row], details=True)
    assert graded_rows["extracted"] == "0.51"
    assert graded_rows["detail"] == "\\frac{1}{2} ≠ 0.51"


@pytest.mark.parametrize(
    "text", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "true", "[5]", "{}"]
)
@pytest.mark.parametrize("field", ["gold", "candidate"])
def test_what_is_no_text_and_no_number_is_an_error(tmp_path, text, field):
    other = "candidate" if field == "gold" else "gold"
    source = tmp_path / "in.jsonl"
    source.write_text(f'{{"id": 1, "{field}": {text}, "{other}": "5"}}\n')
    assert grade_file("math", source, tmp_path / "out.jsonl") == {"error": 1}
    row = lines(tmp_path / "out.jsonl")[0]
    assert (row["id"], row["line"], row["layer"]) == (1, 1, "input")


def test_both_fields_as_nan_are_an_error(tmp_path):
    source = tmp_path / "in.jsonl"
    source.write_text('{"id": 1, "gold": NaN, "candidate": NaN}\n')
    assert grade_file("math", source, tmp_path / "out.jsonl") == {"error": 1}
    assert "NaN" in lines(tmp_path / "out.jsonl")[0]["problem"]


def test_a_field_that_stands_twice_is_an_error(tmp_path):
    source = tmp_path / "in.jsonl"
    source.write_text('{"id": 1, "gold": "5", "candidate": "6", "candidate": "5"}\n')
    assert grade_file("math", source, tmp_path / "out.jsonl") == {"error": 1}
    assert "'candidate'" in lines(tmp_path / "out.jsonl")[0]["problem"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
@pytest.mark.parametrize("last", [True, False])
def test_a_byte_order_mark_and_any_line_end_are_read(tmp_path, start, end, last):
    rows = [json.dumps({"id": i, "gold": "5", "candidate": str(5 + i)}) for i in range(3)]
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes((start + end.join(rows) + end * last).encode())
    assert grade_file("math", source, output) == {"correct": 1, "incorrect": 2}
    assert [row["id"] for row in lines(output)] == [0, 1, 2]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_another_encoding_of_the_whole_file_is_named(tmp_path, encoding):
    source = tmp_path / "in.jsonl"
    source.write_text('{"id": 1, "gold": "5", "candidate": "5"}\n', encoding=encoding)
    with pytest.raises(RestemError, match="UTF-16 or UTF-32"):
        grade_file("math", source, tmp_path / "out.jsonl")


@pytest.mark.parametrize("kind", ["same", "other spelling", "symbolic link", "hard link"])
def test_the_input_is_never_overwritten(tmp_path, kind):
    source = write(tmp_path / "in.jsonl", [{"id": 1, "gold": "5", "candidate": "5"}])
    before, output = source.read_bytes(), tmp_path / "out.jsonl"
    if kind == "symbolic link":
        output.symlink_to(source)
    elif kind == "hard link":
        output.hardlink_to(source)
    else:
        output = source if kind == "same" else tmp_path / "x" / ".." / "in.jsonl"
        (tmp_path / "x").mkdir()
    for run in (grade_file, lambda _, *paths: compare_pairs(*paths, sample=1, seed=0)):
        with pytest.raises(RestemError, match="the output is the input"):
            run("math", source, output)
    assert source.read_bytes() == before


@pytest.mark.parametrize("place", ["file/out.jsonl", "folder", "/proc/none/out", "x" * 300, "pipe"])
def test_an_output_that_cannot_be_written_is_refused_before_anything(tmp_path, place, monkeypatch):
    source = write(tmp_path / "in.jsonl", [{"id": 1, "gold": "5", "candidate": "5"}])
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr("restem.tools.grade.load_verifier", lambda _: pytest.fail("too late"))
    monkeypatch.setattr("restem.tools.compare_graders.grade_pairs", lambda _: pytest.fail("late"))
    for run in (grade_file, lambda _, *paths: compare_pairs(*paths, sample=1, seed=0)):
        with pytest.raises(RestemError, match="cannot be written") as refused:
            run("math", source, tmp_path / place)
        assert place[:20] in str(refused.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "file",
        "folder",
        "in.jsonl",
        "pipe",
    ]


def test_a_long_name_is_written(tmp_path):
    source = write(tmp_path / "in.jsonl", [{"id": 1, "gold": "5", "candidate": "5"}])
    output = tmp_path / ("x" * 250)
    assert grade_file("math", source, output) == {"correct": 1}
    assert len(lines(output)) == 1


def test_a_full_disk_is_reported_and_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("restem.tools.grade._row", fail)
    with pytest.raises(RestemError, match="No space left"):
        graded(tmp_path, [{"id": 1, "gold": "5", "candidate": "5"}])
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("content", ["", "\ufeff"])
def test_the_command_says_that_there_are_no_lines(tmp_path, content):
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text(content)
    arguments = ["--task", "math", "--input", str(source), "--output", str(output)]
    done = CliRunner().invoke(cli, ["grade", *arguments])
    assert (done.exit_code, done.output) == (0, f"grade: {source} has no lines\n")


def test_a_comparison_of_no_answers_is_refused_with_the_reason(tmp_path):
    source = write(tmp_path / "in.jsonl", [{"id": 1, "gold": "5"}])
    with pytest.raises(RestemError, match="no line can be read"):
        compare_pairs(source, tmp_path / "out.jsonl", sample=1, seed=0)


def test_an_empty_file_gives_an_empty_file(tmp_path):
    assert graded(tmp_path, []) == []


def test_a_file_of_any_length_is_graded_in_batches(tmp_path, monkeypatch):
    monkeypatch.setattr("restem.tools.grade.BATCH_LINES", 7)
    rng = random.Random(0)
    rows = [{"id": i, "gold": "5", "candidate": str(rng.choice((5, 6)))} for i in range(100)]
    graded_rows = graded(tmp_path, rows)
    expected = ["correct" if row["candidate"] == "5" else "incorrect" for row in rows]
    assert [row["verdict"] for row in graded_rows] == expected


def test_nothing_is_left_behind_by_a_failure(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError

    monkeypatch.setattr("restem.tools.grade._row", fail)
    with pytest.raises(RuntimeError):
        graded(tmp_path, [{"id": 1, "gold": "5", "candidate": "5"}])
    assert list((tmp_path / "out").iterdir()) == []


def test_what_cannot_be_graded_is_refused(tmp_path):
    with pytest.raises(RestemError, match="file not found"):
        grade_file("math", tmp_path / "none.jsonl", tmp_path / "out.jsonl")
    with pytest.raises(RestemError):
        grade_file("no_such_task", tmp_path / "none.jsonl", tmp_path / "out.jsonl")


def test_the_command_says_how_many(tmp_path):
    source = write(tmp_path / "in.jsonl", [{"id": 1, "gold": "5", "candidate": "5"}])
    arguments = ["--task", "gsm8k", "--input", str(source), "--output", str(tmp_path / "o.jsonl")]
    done = CliRunner().invoke(cli, ["grade", *arguments])
    assert (done.exit_code, done.output) == (0, "grade: 1 correct\n")


FOUR = "def four_times(a):\n    return 4 * a\n"
FENCED = [
    f'```python title="a.py"\n{FOUR}```', f"````python\n{FOUR}````",
    f"```python:main.py\n{FOUR}```",
    f"~~~~python\n{FOUR}~~~~", f"```{{.python}}\n{FOUR}```", f"```Python 3\n{FOUR}```",
    "```python\n" + FOUR.replace("    ",
    '    """Quadruple.\n\n    ```\n    four_times(1)\n    ```\n    """\n    ', 1) + "```",
    f"<think>\n```python\ndef four_times(a): return a\n```\n</think>\n\n```python\n{FOUR}```",
    "\ufeff" + FOUR,
]  # fmt: skip
SUM_TESTS = json.dumps({"inputs": ["3\n1 2 3\n", "2\n5 6\n"], "outputs": ["6\n", "11\n"]})
SUMS = "n=int(input());print(sum(map(int,input().split())))\n"
SCRIPTS = [
    SUMS + "exit()", SUMS + "exit(0)", SUMS + "quit()", "\ufeff" + SUMS, SUMS + "assert __file__",
    "import sys\nsys.stdin = open('/dev/stdin')\n" + SUMS,
    "print(sum(map(int, open('/dev/stdin').read().split()[1:])))",
    f"```python\n{SUMS}```\n\nIt prints\n\n```\n6\n```",
]  # fmt: skip


def test_programs_pass_however_they_are_written(tmp_path):
    tests = {"test_list": ["assert four_times(10)==40", "assert four_times(5)==20"]}
    cases = {"mbpp": (FENCED, tests), "apps": (SCRIPTS, {"input_output": SUM_TESTS})}
    for task, (programs, problem) in cases.items():
        rows = [{"id": i, "problem": problem, "completion": c} for i, c in enumerate(programs)]
        output = tmp_path / f"{task}.jsonl"
        grade_file(task, write(tmp_path / "in.jsonl", rows), output)
        assert [row["id"] for row in lines(output) if row["verdict"] != "passed"] == [], task


# ---- the second grader ----

DISPUTED = [
    ("101_2", "101_3", "only theirs accepts"),
    ("1/3", "0.33333333333333", "only theirs accepts"),
    ("\\pm 3i", "3i,-3i", "agree"),
    ("5", "5", "agree"),
    ("5", "6", "agree"),
]


def test_disagreements_are_written(tmp_path):
    rows = [{"id": i, "gold": g, "candidate": c} for i, (g, c, _) in enumerate(DISPUTED)]
    output = tmp_path / "disagreements.jsonl"
    counts = compare_pairs(write(tmp_path / "in.jsonl", rows), output, sample=100, seed=0)
    assert sum(counts.values()) == len(DISPUTED)
    graded_rows = {row["id"]: row["outcome"] for row in lines(output)}
    expected = Counter(outcome for *_, outcome in DISPUTED)
    assert counts["only theirs accepts"] == expected["only theirs accepts"]
    assert set(graded_rows) == {"0", "1"}


def test_a_sample_of_rewards_is_compared(tmp_path):
    problem = {"id": "p", "question": "?", "answer": "1/3", "solutions": [], "subject": "x"}
    write_table(tmp_path / "problems.parquet", PROBLEMS, table(PROBLEMS, [problem]), {})
    row = {"problem_id": "p", "reward": 0.0, "fraction": 0.0, "verdict": "incorrect"}
    row |= {"layer": "rational", "flexible": "incorrect", "extracted": "0.33333333333333"}
    rows = [row | {"draw": draw} for draw in range(9)]
    rows.append(row | {"draw": 9, "extracted": None, "verdict": "unextractable"})
    write_table(tmp_path / "rewards.parquet", REWARDS, table(REWARDS, rows), {})
    tables = tmp_path / "rewards.parquet", tmp_path / "problems.parquet"
    counts = compare_rewards(*tables, tmp_path / "disagreements.jsonl", sample=4, seed=1)
    assert counts == {"only theirs accepts": 4}
    graded_rows = lines(tmp_path / "disagreements.jsonl")
    assert {row["answer"] for row in graded_rows} == {"0.33333333333333"}
    assert graded_rows == lines(tmp_path / "disagreements.jsonl")


def test_the_graders_are_compared_on_one_source(tmp_path):
    done = CliRunner().invoke(cli, ["compare-graders", "--output", str(tmp_path / "a.jsonl")])
    assert done.exit_code == 2
    assert "--rewards with --problems, or --input" in done.output
