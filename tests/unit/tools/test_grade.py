"""`restem grade` and `restem compare-graders` on files: every line is answered, in order."""

import json
import random
from collections import Counter

import pytest
from click.testing import CliRunner

from restem.answers.workers import Reply
from restem.artifacts.tables import table, write_table
from restem.cli import cli
from restem.errors import RestemError
from restem.rewards import second_grader as second
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
    write_table(tmp_path / "problems.parquet", "problems", table("problems", [problem]), {})
    row = {"problem_id": "p", "reward": 0.0, "fraction": 0.0, "verdict": "incorrect"}
    row |= {"layer": "rational", "flexible": "incorrect", "extracted": "0.33333333333333"}
    rows = [row | {"draw": draw} for draw in range(9)]
    rows.append(row | {"draw": 9, "extracted": None, "verdict": "unextractable"})
    write_table(tmp_path / "rewards.parquet", "rewards", table("rewards", rows), {})
    tables = tmp_path / "rewards.parquet", tmp_path / "problems.parquet"
    counts = compare_rewards(*tables, tmp_path / "disagreements.jsonl", sample=4, seed=1)
    assert counts == {"only theirs accepts": 4}
    graded_rows = lines(tmp_path / "disagreements.jsonl")
    assert {row["answer"] for row in graded_rows} == {"0.33333333333333"}
    assert graded_rows == lines(tmp_path / "disagreements.jsonl")


def test_pairs_that_are_late_on_a_busy_machine_get_a_second_turn(monkeypatch):
    limits = []
    replies = second._replies

    def watched(pairs, allowed):
        limits.append((allowed.seconds, len(pairs)))
        if allowed == second.LIMITS:
            return [Reply(None, "timeout"), Reply(False, "math-verify")]  # no clock decides here
        return replies(pairs, allowed)

    monkeypatch.setattr(second, "_replies", watched)
    final = second.second_replies([("1/2", "0.5"), ("2", "3")], "a test")
    assert [reply.equal for reply in final] == [True, False]
    assert limits == [(second.LIMITS.seconds, 2), (second.RETRY_LIMITS.seconds, 1)]


def test_the_graders_are_compared_on_one_source(tmp_path):
    done = CliRunner().invoke(cli, ["compare-graders", "--output", str(tmp_path / "a.jsonl")])
    assert done.exit_code == 2
    assert "--rewards with --problems, or --input" in done.output
