"""Stage rewards: one verdict a completion (the E-step's second half)."""

from collections import Counter
from pathlib import Path

from restem.artifacts import Job
from restem.config.reward import Reward
from restem.config.strict import Strict
from restem.errors import RestemError
from restem.grading import Grader
from restem.tables import read_rows, table, write_table
from restem.tasks.table import read_problems


class Settings(Strict):
    """What this stage reads of the configuration."""

    task: str
    verifier: str
    reward: Reward


def run(job: Job, samples: Path, problems: Path, output: Path) -> None:
    """Write one verdict for each completion, and what the flexible policy would have said."""
    settings = Settings.model_validate(job.recipe.settings)
    gold = {problem.id: problem.answer for problem in read_problems(problems)}
    grader = Grader(settings.task, settings.verifier, settings.reward)
    rows = []
    for row in read_rows(samples, "samples"):
        answer = gold.get(row["problem_id"])
        if answer is None:
            raise RestemError(
                f"problem {row['problem_id']!r} has no gold answer",
                f"{samples} against {problems}",
                "draw the samples from the same problems; leave out problems without an answer",
            )
        verdict = grader.grade(answer, row["completion"], settings.reward.policy)
        flexible = grader.grade(answer, row["completion"], "flexible")
        rows.append(
            {"problem_id": row["problem_id"], "draw": row["draw"], "layer": verdict.layer}
            | {"verdict": verdict.verdict, "reward": float(verdict.verdict == "correct")}
            | {"extracted": verdict.extracted, "flexible": flexible.verdict}
        )
    counts = Counter(row["verdict"] for row in rows)
    provenance = {**job.provenance, "counts": dict(counts)}
    write_table(output, "rewards", table("rewards", rows), provenance)
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
    print(f"rewards: {told or 'nothing to verify'}", flush=True)
