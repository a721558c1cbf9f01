"""Print which sums each policy solves and what its wrong answers are, over all training seeds.

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


def results(study: Path) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield each policy by name, once per seed, with its verdicts on the test problems."""
    for file in sorted(study.glob("*/*/*/seed-*/iter-*/sums/test/greedy/seed-0/rewards/*.parquet")):
        variant, _, iteration = file.relative_to(study).parts[2:5]
        yield f"{variant} {iteration.removeprefix('iter-')}", pq.read_table(file).to_pylist()


def main(study: Path) -> None:
    """Print one line for each policy."""
    sums = {}
    for problem in pq.read_table(study / "sums/problems/test.parquet").to_pylist():
        left, operator, right = re.search(r"(\d+) ([+-]) (\d+) =", problem["question"]).groups()
        value = int(left) + int(right) if operator == "+" else int(left) - int(right)
        sums[problem["id"]] = (kind_of(int(left), operator, int(right)), value)
    asked = Counter(kind for kind, _ in sums.values())
    counts: dict[str, Counter[str]] = {}
    for policy, verdicts in results(study):
        count = counts.setdefault(policy, Counter())
        count["completions"] += len(verdicts)
        for row in verdicts:
            kind, value = sums[row["problem_id"]]
            if row["reward"] == 1:
                count[kind] += 1
            else:
                count[f"wrong: {error_of(row['extracted'], value)}"] += 1
    print(f"| policy | {' | '.join(f'{kind} ({asked[kind]})' for kind in KINDS)} | ", end="")
    print(" | ".join(f"wrong: {kind}" for kind in WRONG), "|")
    print("| :-- |" + " --: |" * (len(KINDS) + len(WRONG)))
    for policy, count in counts.items():
        seeds = count["completions"] / len(sums)
        cells = [f"{100 * count[kind] / (asked[kind] * seeds):.0f} %" for kind in KINDS]
        cells += [f"{100 * count[f'wrong: {k}'] / count['completions']:.0f} %" for k in WRONG]
        print(f"| {policy} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "results/smollm2"))
