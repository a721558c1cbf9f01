"""Print which problems each policy solves, and what it answers instead.

python results/reference/smollm2/errors.py [results/smollm2], after `make real` or `make real-all`.
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq


class Look(NamedTuple):
    """How to look at a task: kinds of its problems, and of the wrong answers to them.

    kind_of: takes a question and its answer; error_of: takes both and what a policy answered.
    """

    kinds: tuple[str, ...]
    kind_of: Callable[[str, str], str]
    errors: tuple[str, ...]
    error_of: Callable[[str, str, str], str]


def kind_of_sum(question: str, answer: str) -> str:
    """Return what adding or subtracting two numbers by hand takes."""
    left, operator, right = re.search(r"(\d+) ([+-]) (\d+) =", question).groups()
    if operator == "+":
        return "carry" if int(left[-1]) + int(right[-1]) > 9 else "no carry"
    if int(answer) < 0:
        return "negative"
    return "borrow" if left[-1] < right[-1] else "no borrow"


def error_of_sum(question: str, answer: str, said: str) -> str:
    """Return how a sum is wrong; `1` is what the base model often says, whatever is asked."""
    if not re.fullmatch(r"-?\d+", said):
        return "no number"
    if said == "1":
        return "1"
    if abs(int(said)) == abs(int(answer)):
        return "sign"
    difference = abs(int(said) - int(answer))
    return "one digit" if difference < 10 or difference % 10 == 0 else "other"


def kind_of_expression(question: str, answer: str) -> str:
    """Return which operations an expression has."""
    numbers = len(re.findall(r"\d+", question))
    operations = "× ÷" if re.search("[*/]", question) else "+ -"
    return f"{numbers} numbers, {operations}" if numbers > 1 else "1 number"


def error_of_expression(question: str, answer: str, said: str) -> str:
    """Return how the value of an expression is wrong."""
    if not re.fullmatch(r"-?\d+", said):
        return "no number"
    if abs(int(said)) == abs(int(answer)):
        return "sign"
    return (
        "a number of the question" if said.lstrip("-") in re.findall(r"\d+", question) else "other"
    )


def names(question: str) -> list[str]:
    """Return who is named in the statements, in their order."""
    statements, _ = question.rsplit("\n", 1)
    return [statement.split()[0] for statement in statements.split(". ") if statement.strip()]


def kind_of_needle(question: str, answer: str) -> str:
    """Return where the statement is that the question asks for."""
    place = names(question).index(answer)
    return "first" if place == 0 else "last" if place == len(names(question)) - 1 else "between"


def error_of_needle(question: str, answer: str, said: str) -> str:
    """Return whether somebody else of the statements is named."""
    return "another of them" if said in names(question) else "none of them"


LOOKS = {
    "sums": Look(
        ("no carry", "carry", "no borrow", "borrow", "negative"),
        kind_of_sum,
        ("no number", "1", "sign", "one digit", "other"),
        error_of_sum,
    ),
    "arithmetic": Look(
        ("1 number", "2 numbers, + -", "2 numbers, × ÷", "3 numbers, + -", "3 numbers, × ÷"),
        kind_of_expression,
        ("no number", "sign", "a number of the question", "other"),
        error_of_expression,
    ),
    "needle": Look(
        ("first", "between", "last"),
        kind_of_needle,
        ("another of them", "none of them"),
        error_of_needle,
    ),
}


def results(study: Path, task: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield each policy with its verdicts on the test problems of a task, a training seed each."""
    found = study.glob(f"*/*/*/seed-*/iter-*/{task}/test/greedy/seed-0/rewards/*.parquet")
    for file in sorted(found, key=lambda path: ("base" not in path.parts, path)):
        variant, _, iteration = file.relative_to(study).parts[2:5]
        yield f"{variant} {iteration.removeprefix('iter-')}", pq.read_table(file).to_pylist()


def write(study: Path, task: str, look: Look) -> None:
    """Print what kinds of problems each policy solves, and its wrong answers, over all seeds."""
    asked: dict[str, tuple[str, str]] = {}
    for problem in pq.read_table(study / task / "problems/test.parquet").to_pylist():
        asked[problem["id"]] = (problem["question"], json.loads(problem["answer"])["answer"])
    problems_of = Counter(look.kind_of(*problem) for problem in asked.values())
    counts: dict[str, Counter[str]] = {}
    for policy, verdicts in results(study, task):
        count = counts.setdefault(policy, Counter())
        count["seeds"] += 1
        for row in verdicts:
            problem = asked[row["problem_id"]]
            solved = row["reward"] == 1
            error = "" if solved else look.error_of(*problem, row["extracted"] or "")
            count[look.kind_of(*problem) if solved else f"wrong: {error}"] += 1
    kinds = [kind for kind in look.kinds if problems_of[kind]]
    heads = [f"{kind} ({problems_of[kind]})" for kind in kinds]
    heads += [f"wrong: {error}" for error in look.errors]
    print(f"\n| policy | {' | '.join(heads)} |\n| :-- |" + " --: |" * len(heads))
    for policy, count in counts.items():
        shares = [count[kind] / (problems_of[kind] * count["seeds"]) for kind in kinds]
        shares += [count[f"wrong: {e}"] / (len(asked) * count["seeds"]) for e in look.errors]
        print(f"| {policy} | {' | '.join(f'{100 * share:.0f} %' for share in shares)} |")


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "results/smollm2")
    print("Problems solved, and wrong answers, both greedy and averaged over training seeds.")
    for name, how in LOOKS.items():
        if (folder / name).exists():
            print(f"\n## {name}")
            write(folder, name, how)
