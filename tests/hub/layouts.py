"""Data sets of the hub as they are laid out there: names of files, columns and numbers of rows.

The rows are made up by code, as many as config/tasks/sources.yaml states, so that the studies of
this repository can be run against the stand-in as they are. No text is a benchmark's.
"""

import csv
import gzip
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from tests.hub.server import Repository

Row = dict[str, Any]
SOURCES: Final = Path(__file__).parents[2] / "config/tasks/sources.yaml"
SUBJECTS: Final = {
    "algebra": "Algebra",
    "counting_and_probability": "Counting & Probability",
    "geometry": "Geometry",
    "intermediate_algebra": "Intermediate Algebra",
    "number_theory": "Number Theory",
    "prealgebra": "Prealgebra",
    "precalculus": "Precalculus",
}


def math_row(file: str, number: int) -> Row:
    split = file.rpartition("/")[2].partition("-")[0]
    subject = SUBJECTS.get(file.partition("/")[0], "Algebra")
    salt = f"{subject} {split}"
    return {
        "problem": f"Made up, {salt}: what is ${number}+{number % 7}$?",
        "level": f"Level {'?' if salt == 'Geometry train' and number < 2 else number % 5 + 1}",
        "type": subject,
        "solution": f"The sum is $\\boxed{{{number + number % 7}}}$.",
    }


def gsm8k_row(file: str, number: int) -> Row:
    split = file.rpartition("/")[2].partition("-")[0]
    return {
        "question": f"Ann has {number} {split} pens and buys 3. How many has she now?",
        "answer": f"She has {number}+3=<<{number}+3={number + 3}>>{number + 3} pens.\n"
        f"#### {number + 3}",
    }


def apps_row(file: str, number: int) -> Row:
    """Return a row of the JSON lines, whose numbers are called `id`."""
    split = file.partition(".")[0]
    first = {"train": 2361, "test": 4000}[split]
    difficulty = "introductory" if number >= first else ("interview", "competition")[number % 2]
    untested = split == "train" and number % 100 == 50
    solution = f"print(int(input()) + {number})\n"
    tests = {"inputs": ["1\n", "5\n"], "outputs": [f"{number + 1}\n", f"{number + 5}\n"]}
    return {
        "id": number,
        "question": f"Read a number and print it plus {number} ({split}).",
        "solutions": json.dumps([solution]) if split == "train" or number % 4 else "",
        "input_output": "" if untested else json.dumps(tests),
        "difficulty": difficulty,
        "url": "https://example.org",
        "starter_code": "",
    }


def humaneval_row(file: str, number: int) -> Row:
    return {
        "task_id": f"HumanEval/{number}",
        "prompt": f'def add_{number}(x: int) -> int:\n    """ Add {number} to x. """\n',
        "canonical_solution": f"    return x + {number}\n",
        "test": f"def check(candidate):\n    assert candidate(1) == {number + 1}\n",
        "entry_point": f"add_{number}",
    }


def mbpp_row(file: str, number: int) -> Row:
    split = file.partition("/")[2].partition("-")[0]
    number += {"prompt": 1, "test": 11, "validation": 511, "train": 601}[split]
    return {
        "task_id": number,
        "text": f"Write a function to multiply by {number}.",
        "code": f"def times_{number}(x):\r\n  return x * {number}",
        "test_list": [f"assert times_{number}({x}) == {x * number}" for x in (1, 2, 3)],
        "test_setup_code": "",
        "challenge_test_list": [],
    }


def leetcode_row(file: str, number: int) -> Row:
    split = file.partition("-")[2].partition(".")[0]
    slug = {0: "two-sum", 1: "palindrome-number"}.get(number, f"problem-{number}")
    slug = slug if split == "train" else f"later-{number}"
    starter = "class Solution:\n    def f(self, x: int) -> int:\n        "
    query = f"Add {number} to x ({split}).\n\n```python\n{starter}\n```\n"
    return {
        "task_id": slug,
        "question_id": number + 1 + 3000 * (split == "test"),
        "difficulty": ("Easy", "Medium", "Hard")[number % 3],
        "tags": ["Math"],
        "problem_description": f"Add {number} to x ({split}).",
        "starter_code": starter,
        "prompt": "from typing import *\n",
        "completion": f"{starter}return x + {number}",
        "entry_point": "Solution().f",
        "test": f"def check(candidate):\n    assert candidate(x = 1) == {number + 1}\n",
        "input_output": [{"input": "x = 1", "output": str(number + 1)}],
        "query": query,
        "response": f"```python\n{starter}return x + {number}\n```",
    }


def bbh_row(file: str, number: int) -> Row:
    name = file.partition("/")[0]
    return {"input": f"Made up, {name}: is {number} even?", "target": "No" if number % 2 else "Yes"}


def hungarian_row(file: str, number: int) -> Row:
    return {"Question": f'Solve $x+{number}="5"$,\nand draw it.'}


ROWS: Final[Mapping[str, Callable[[str, int], Row]]] = {
    "math": math_row,
    "gsm8k": gsm8k_row,
    "apps": apps_row,
    "humaneval": humaneval_row,
    "mbpp": mbpp_row,
    "leetcode": leetcode_row,
    "bbh_cot": bbh_row,
    "hungarian": hungarian_row,
}


def public(task: str) -> Any:
    """Return the public source of a task, as config/tasks/sources.yaml states it."""
    return yaml.safe_load(SOURCES.read_text())["sources"][task]


def made_up(task: str, file: str, count: int) -> list[Row]:
    """Return the rows of a file of a task's public source."""
    return [ROWS[task](file, number) for number in range(count)]


def encoded(file: str, rows: list[Row]) -> bytes:
    """Write rows in the format that a file's name ends in."""
    if file.endswith(".parquet"):
        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows), buffer)
        return buffer.getvalue()
    if file.endswith(".csv"):
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue().encode()
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def repository(task: str, folder: Path | None = None) -> tuple[str, Repository]:
    """Return the data set of a task's public source, with its name.

    folder: of copies of the benchmarks, whose rows stand there instead of made-up ones.
    """
    source = public(task)
    files = {
        file: encoded(file, real(task, file, folder) if folder else made_up(task, file, count))
        for split in source["files"].values()
        for file, count in split.items()
    }
    script = b"raise SystemExit('a script of a data set was run')\n"
    name = source["id"].partition("/")[2]
    others = {f"{name}.py": script, "README.md": b"made up\n"}
    return f"datasets/{source['id']}", Repository(source["revision"], files | others)


def real(task: str, file: str, folder: Path) -> list[Row]:
    """Return the rows of a file of a public source, made from copies of the benchmarks.

    They are those of the folder that tests/conftest.py finds, in the order of the hub.
    """
    part, split = file.partition("/")[0], file.rpartition("/")[2].partition("-")[0]
    if task == "math":
        rows = _local(folder / f"math/{split}.jsonl.gz")
        own = [row for row in rows if row["id"].split("/")[1] == part]
        return [
            {"problem": r["problem"], "level": r["level"], "type": r["subject"],
             "solution": r["solution"]}
            for r in own
        ]  # fmt: skip
    if task == "gsm8k":
        rows = _local(folder / f"gsm8k/{split}.jsonl.gz")
        return [{key: row[key] for key in ("question", "answer")} for row in rows]
    if task == "humaneval":
        return _local(folder / "humaneval/HumanEval.jsonl.gz")
    if task == "mbpp":
        numbers = {"prompt": (1, 10), "test": (11, 510), "validation": (511, 600)}
        first, last = numbers.get(split, (601, 974))
        rows = _local(folder / "mbpp/mbpp.jsonl.gz")
        return [row for row in rows if first <= row["task_id"] <= last]
    if task == "bbh_cot":
        rows = json.loads((folder / f"bbh/{part}.json").read_text())["examples"]
        return [{key: row[key] for key in ("input", "target")} for row in rows]
    lines = (folder / "hungarian/test.jsonl").read_text().splitlines()
    return [{"Question": json.loads(line)["problem"]} for line in lines]


def _local(path: Path) -> list[Row]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]
