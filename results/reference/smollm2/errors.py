"""Print which problems each policy solves, and what it answers instead.

python results/reference/smollm2/errors.py [results/smollm2], after `make real` or `make real-all`.
"""

import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

KINDS = ("no carry", "carry", "no borrow", "borrow", "negative")
WRONG = ("no number", "1", "sign", "one digit", "other")


def kind_of(left: int, operator: str, right: int) -> str:
    """Return what adding or subtracting two numbers by hand takes."""
    if operator == "+":
        return "carry" if left % 10 + right % 10 > 9 else "no carry"
    if left < right:
        return "negative"
    return "borrow" if left % 10 < right % 10 else "no borrow"


def error_of(answer: str | None, right: int) -> str:
    """Return how an answer is wrong; `1` is what the base model often says, whatever is asked."""
    if answer is None or not re.fullmatch(r"-?\d+", answer):
        return "no number"
    if answer == "1":
        return "1"
    if abs(int(answer)) == abs(right):
        return "sign"
    difference = abs(int(answer) - right)
    return "one digit" if difference < 10 or difference % 10 == 0 else "other"


def results(study: Path, task: str) -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    """Yield policy and training seed with the verdicts on the test problems of a task."""
    for file in sorted(study.glob(f"*/*/*/seed-*/iter-*/{task}/test/greedy/seed-0/rewards/*")):
        if file.suffix == ".parquet":
            variant, seed, iteration = file.relative_to(study).parts[2:5]
            name = f"{variant} {iteration.removeprefix('iter-')}"
            yield name, seed.removeprefix("seed-"), pq.read_table(file).to_pylist()


def sums(study: Path) -> None:
    """Print what kinds of sums each policy solves, and its wrong answers, over all seeds."""
    asked: dict[str, tuple[str, int]] = {}
    for problem in pq.read_table(study / "sums/problems/test.parquet").to_pylist():
        left, operator, right = re.search(r"(\d+) ([+-]) (\d+) =", problem["question"]).groups()
        value = int(left) + int(right) if operator == "+" else int(left) - int(right)
        asked[problem["id"]] = (kind_of(int(left), operator, int(right)), value)
    of_kind = Counter(kind for kind, _ in asked.values())
    counts: dict[str, Counter[str]] = {}
    for policy, _, verdicts in results(study, "sums"):
        count = counts.setdefault(policy, Counter())
        count["completions"] += len(verdicts)
        for row in verdicts:
            kind, value = asked[row["problem_id"]]
            solved = row["reward"] == 1
            count[kind if solved else f"wrong: {error_of(row['extracted'], value)}"] += 1
    print(f"| policy | {' | '.join(f'{kind} ({of_kind[kind]})' for kind in KINDS)} | ", end="")
    print(" | ".join(f"wrong: {kind}" for kind in WRONG), "|")
    print("| :-- |" + " --: |" * (len(KINDS) + len(WRONG)))
    for policy, count in counts.items():
        seeds = count["completions"] / len(asked)
        cells = [f"{100 * count[kind] / (of_kind[kind] * seeds):.0f} %" for kind in KINDS]
        cells += [f"{100 * count[f'wrong: {k}'] / count['completions']:.0f} %" for k in WRONG]
        print(f"| {policy} | {' | '.join(cells)} |")


def divisors(study: Path) -> None:
    """Print how many common divisors each policy finds, and how often it gives which answer."""
    print("| policy | seed | correct | its most frequent answers |\n| :-- | --: | --: | :-- |")
    for policy, seed, verdicts in results(study, "gcd"):
        correct = sum(row["reward"] for row in verdicts) / len(verdicts)
        answers = Counter(row["extracted"] for row in verdicts).most_common(3)
        shares = ", ".join(f"{answer}: {100 * n / len(verdicts):.0f} %" for answer, n in answers)
        print(f"| {policy} | {seed} | {100 * correct:.1f} % | {shares} |")


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "results/smollm2")
    sums(folder)
    if (folder / "gcd").exists():
        print()
        divisors(folder)
