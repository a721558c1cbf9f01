"""Stage rewards: one verdict a completion (the E-step's second half)."""

from collections import Counter
from functools import cache
from pathlib import Path

from restem.artifacts import Job
from restem.config.reward import Reward
from restem.config.strict import Strict
from restem.errors import RestemError
from restem.rewards.registry import load_verifier
from restem.rewards.verdict import Verdict
from restem.stages.problems import read_problems
from restem.tables import read_rows, table, write_table
from restem.tasks.registry import load_task


class Settings(Strict):
    """What this stage reads of the configuration."""

    task: str
    verifier: str
    reward: Reward


class Grader:
    """Grade completions of one task; equal pairs are graded once."""

    def __init__(self, settings: Settings) -> None:
        self._grade = load_verifier(settings.verifier)
        self._markers = load_task(settings.task).markers
        self._reward = settings.reward
        self.grade = cache(self._once)

    def _once(self, gold: str, completion: str, policy: str) -> Verdict:
        longest = self._reward.max_answer_characters
        return self._grade(gold, completion, policy, self._markers, longest)

    def reward(self, gold: str, completion: str) -> float:
        """Return the binary reward of a completion: 1 if it is correct, else 0."""
        return float(self.grade(gold, completion, self._reward.policy).verdict == "correct")


def run(job: Job, samples: Path, problems: Path, output: Path) -> None:
    """Write one verdict for each completion, and what the flexible policy would have said."""
    settings = Settings.model_validate(job.recipe.settings)
    gold = {problem.id: problem.answer for problem in read_problems(problems)}
    grader = Grader(settings)
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
