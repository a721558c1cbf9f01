"""Grade a sample again with an independent second grader, and write where the two disagree.

The second grader, Math-Verify, gets the extracted answers, so that the two can disagree about
equality but not about extraction.
"""

import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from restem.artifacts.files import write_text
from restem.artifacts.schemas.loop import REWARDS
from restem.artifacts.tables import read_rows
from restem.errors import RestemError
from restem.rewards.second_grader import second_replies
from restem.tasks.problem import read_problems
from restem.tools.grade import check_input, grade_pairs, read_pairs
from restem.tools.outputs import check_output


@dataclass(frozen=True)
class Case:
    """A graded answer. id: where it comes from; ours, layer: our verdict and its layer."""

    id: str
    gold: str
    answer: str
    ours: str
    layer: str


def compare_rewards(
    rewards: Path, problems: Path, output: Path, sample: int, seed: int
) -> Counter[str]:
    """Compare the graders on a table of rewards and the problems that it was graded with."""
    check_output(output, rewards, problems)
    gold_by_id = {problem.id: problem.answer for problem in read_problems(problems)}
    rows = [row for row in read_rows(rewards, REWARDS) if row["extracted"] is not None]
    cases = [
        Case(
            f"{row['problem_id']} {row['draw']}",
            _gold(gold_by_id, row["problem_id"], problems),
            row["extracted"],
            row["verdict"],
            row["layer"],
        )
        for row in _sampled(rows, sample, seed)
    ]
    return _write(cases, output)


def compare_pairs(source: Path, output: Path, sample: int, seed: int) -> Counter[str]:
    """Compare the graders on JSON lines of `id`, `gold` and `candidate`."""
    check_input(source)
    check_output(output, source)
    pairs = _sampled(list(read_pairs(source)), sample, seed)
    if not pairs:
        raise RestemError("no line can be read", str(source), "see `restem grade` on this file")
    verdicts = grade_pairs([(gold, candidate) for _, gold, candidate in pairs])
    cases = [
        Case(str(name), gold, verdict.extracted, verdict.verdict, verdict.layer)
        for (name, gold, _), verdict in zip(pairs, verdicts, strict=True)
        if verdict.extracted is not None
    ]
    return _write(cases, output)


def _gold(gold_by_id: dict[str, str | None], problem: str, where: Path) -> str:
    answer = gold_by_id.get(problem)
    if answer is None:
        raise RestemError(
            f"problem {problem!r} has no gold answer",
            str(where),
            "name the table of problems that the rewards were made with",
        )
    return answer


def _sampled(rows: Sequence[Any], size: int, seed: int) -> list[Any]:
    """Return a random sample of rows in their original order, or all rows if there are fewer."""
    if len(rows) <= size:
        return list(rows)
    return [rows[i] for i in sorted(random.Random(seed).sample(range(len(rows)), size))]


def _write(cases: Sequence[Case], output: Path) -> Counter[str]:
    """Run the second grader, write the disagreements and count the outcomes."""
    pairs = [(case.gold, case.answer) for case in cases]
    replies = second_replies(pairs, "restem compare-graders")
    counts: Counter[str] = Counter()
    lines = []
    for case, reply in zip(cases, replies, strict=True):
        outcome = _outcome(case.ours == "correct", reply.equal)
        counts[outcome] += 1
        if outcome != "agree":
            lines.append(json.dumps({**vars(case), "theirs": reply.layer, "outcome": outcome}))
    write_text(output, "".join(f"{line}\n" for line in lines))
    return counts


def _outcome(ours: bool, theirs: bool | None) -> str:
    if theirs is None:
        return "theirs failed"
    if ours == theirs:
        return "agree"
    return "only ours accepts" if ours else "only theirs accepts"


def summary(counts: Counter[str]) -> Iterator[str]:
    """Describe the counts, one line each."""
    yield f"compare-graders: {counts.total()} answers, {counts['agree']} judged alike"
    for outcome in ("only ours accepts", "only theirs accepts", "theirs failed"):
        yield f"  {outcome}: {counts[outcome]}"
