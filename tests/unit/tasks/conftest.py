"""Small made-up data in the local layout."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def math_row(split: str, number: int) -> dict[str, Any]:
    return {
        "id": f"{split}/algebra/{number}.json",
        "problem": f"A made-up {split} problem: what is ${number}+1$?",
        "solution": f"We add and get $\\boxed{{{number + 1}}}$.",
        "level": f"Level {number % 5 + 1}",
        "subject": "Algebra" if number % 2 else "Geometry",
    }


MATH_SHOTS = [
    {
        "problem": "What is $2+2$?",
        "solution": "It is $\\boxed{4}$.\nFinal Answer: The final answer is $4$. "
        "I hope it is correct.",
    },
    {
        "problem": "What is $2+3$?",
        "solution": "It is $\\boxed{5}$.\nFinal Answer: The final answer is $5$. "
        "I hope it is correct.",
    },
]


@pytest.fixture
def local(tmp_path: Path) -> Path:
    """Make a data directory with 40 + 10 MATH-like and 12 + 4 GSM8K-like problems."""
    train = [math_row("train", number) for number in range(40)]
    train[3]["problem"] = "What is\n$2+2$?"  # a shot, but for white space
    train[4]["solution"] = "There is none."
    train[5]["level"] = "Level ?"
    write_rows(tmp_path / "math/train.jsonl.gz", train)
    test = [math_row("test", number) for number in range(10)]
    test[0]["problem"] = train[6]["problem"].upper()
    write_rows(tmp_path / "math/test.jsonl.gz", test)
    for split, count in (("train", 12), ("test", 4)):
        rows = [
            {
                "question": f"Ann has {n} {split} pens and buys one. How many has she?",
                "answer": f"She has {n}+1=<<{n}+1={n + 1}>>{n + 1} pens\n#### {n + 1}",
            }
            for n in range(count)
        ]
        write_rows(tmp_path / f"gsm8k/{split}.jsonl.gz", rows)
    prompts = tmp_path / "prompts"
    prompts.mkdir()
    (prompts / "minerva_math_4shot.json").write_text(json.dumps(MATH_SHOTS))
    shot = {"question": "How many are 1 and 1?", "target": "1 + 1 = 2. The answer is 2."}
    (prompts / "gsm8k_cot_8shot.json").write_text(json.dumps({"samples": [shot]}))
    return tmp_path
