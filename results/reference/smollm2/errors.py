"""Which sums a policy gets wrong, and how: `python errors.py RESULTS [TASK]`, as a Markdown table.

RESULTS: folder of the study, for instance results/smollm2. Of the greedy completions of the test
problems: the kind of error, and the share of correct answers by number of carries or borrows.
"""

import re
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pyarrow.parquet as pq

KINDS = ("correct", "no number", "other operation", "one digit", "other number")


def terms(question: str) -> tuple[int, str, int]:
    """Return the terms and the operation of a sum or difference."""
    found = re.search(r"(\d+) ([+-]) (\d+) =", question)
    assert found, question
    return int(found[1]), found[2], int(found[3])


def carries(first: int, operation: str, second: int) -> int:
    """Return how often a digit is carried or borrowed."""
    if operation == "-":
        first, second = max(first, second), min(first, second)
    count = carried = 0
    while first or second:
        ones = first % 10, second % 10 + carried
        carried = int(ones[0] < ones[1] if operation == "-" else sum(ones) > 9)
        count += carried
        first, second = first // 10, second // 10
    return count


def kind(question: str, completion: str, is_correct: bool) -> str:
    """Return what is wrong with an answer."""
    if is_correct:
        return "correct"
    stated = re.search(r"The answer is\s*(-?\d+)", completion)
    if not stated:
        return "no number"
    first, operation, second = terms(question)
    right, other = first + second, first - second
    if operation == "-":
        right, other = other, right
    answer = int(stated[1])
    if answer == other:
        return "other operation"
    digits = f"{abs(answer):0>4}", f"{abs(right):0>4}"
    differing = sum(a != b for a, b in zip(*digits, strict=False))
    same_sign = (answer < 0) == (right < 0)
    return "one digit" if same_sign and differing == 1 else "other number"


def main(results: Path, task: str) -> None:
    """Print one row for each policy."""
    problems = pq.read_table(results / task / "problems/test.parquet").to_pylist()
    questions = {problem["id"]: problem["question"] for problem in problems}
    print("| policy | " + " | ".join(KINDS) + " | right with 0 / 1 / 2 carries |")
    print("| :-- |" + " --: |" * (len(KINDS) + 1))
    for folder in sorted(results.glob(f"*/*/*/seed-*/iter-*/{task}/test/greedy/seed-*")):
        rewards = pq.read_table(folder / "rewards/1-of-1.parquet").to_pylist()
        samples = pq.read_table(folder / "samples/1-of-1.parquet").to_pylist()
        right = {row["problem_id"]: row["reward"] == 1 for row in rewards}
        kinds: Counter[str] = Counter()
        by_carries = defaultdict(list)
        for row in samples:
            key = row["problem_id"]
            kinds[kind(questions[key], row["completion"], right[key])] += 1
            by_carries[carries(*terms(questions[key]))].append(right[key])
        shares = " / ".join(
            f"{sum(by_carries[n]) / len(by_carries[n]):.0%}" if by_carries[n] else "–"
            for n in range(3)
        )
        _, _, variant, seed, iteration = folder.relative_to(results).parts[:5]
        counts = " | ".join(f"{kinds[name] / len(samples):.0%}" for name in KINDS)
        print(f"| {variant}, {iteration.replace('-', ' ')}, {seed} | {counts} | {shares} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "sums")
