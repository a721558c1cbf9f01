"""Stage rewards: one verdict a completion (the E-step's second half)."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from restem.artifacts.store import Job
from restem.artifacts.tables import read_rows, table, write_table
from restem.config.base import Strict
from restem.config.reward import Reward
from restem.errors import RestemError
from restem.rewards.verifier import Attempt, Verdict
from restem.tasks.grading import open_grader
from restem.tasks.problem import read_problems


class Settings(Strict):
    """What this stage reads of the configuration."""

    task: str
    verifier: str
    reward: Reward


def run(job: Job, samples: Path, problems: Path, output: Path) -> None:
    """Write one verdict for each completion, and what the flexible policy would have said."""
    settings = Settings.model_validate(job.recipe.settings)
    drawn = read_rows(samples, "samples")
    attempts = _attempts(drawn, samples, problems)
    with open_grader(settings.task, settings.verifier, settings.reward) as grader:
        verdicts = grader.verdicts(attempts)
        flexible = grader.verdicts(attempts, "flexible")
    rows = [_row(*judged) for judged in zip(drawn, verdicts, flexible, strict=True)]
    counts = Counter(row["verdict"] for row in rows)
    provenance = {**job.provenance, "counts": dict(counts)}
    write_table(output, "rewards", table("rewards", rows), provenance)
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
    print(f"rewards: {told or 'nothing to verify'}", flush=True)


def _attempts(drawn: Sequence[dict[str, Any]], samples: Path, problems: Path) -> list[Attempt]:
    """Pair every completion with what its problem is checked against."""
    gold = {problem.id: problem.answer for problem in read_problems(problems)}
    attempts = []
    for row in drawn:
        answer = gold.get(row["problem_id"])
        if answer is None:
            raise RestemError(
                f"problem {row['problem_id']!r} has no gold answer",
                f"{samples} against {problems}",
                "draw the samples from the same problems; leave out problems without an answer",
            )
        attempts.append(Attempt(answer, row["completion"]))
    return attempts


def _row(drawn: dict[str, Any], verdict: Verdict, flexible: Verdict) -> dict[str, Any]:
    return {
        "problem_id": drawn["problem_id"],
        "draw": drawn["draw"],
        "reward": verdict.reward,
        "fraction": verdict.fraction,
        "verdict": verdict.verdict,
        "layer": verdict.layer,
        "flexible": flexible.verdict,
        "extracted": verdict.extracted,
        "detail": verdict.detail,
    }
