"""Stage rewards: one verdict for each completion (second half of an E-step)."""

import importlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from restem.artifacts.schemas.loop import REWARDS, SAMPLES
from restem.artifacts.store import Job
from restem.artifacts.tables import read_rows, table, write_table
from restem.config.base import Loads, Strict, TaskModule, VerifierModule
from restem.config.reward import Reward
from restem.errors import RestemError
from restem.rewards.verifier import Attempt, Verdict
from restem.stages.declaration import InputFile, InputFiles, OutputFile, stage
from restem.tasks.grading import open_grader
from restem.tasks.problem import of_shard, read_problems


class Settings(Strict):
    """What this stage reads of the configuration."""

    task: TaskModule
    verifier: VerifierModule
    reward: Reward
    by_hand: Annotated[bool, Loads("restem.tasks.grading_sheet")] = False


@stage(
    lock="data",
    help={
        "samples": "The shard; every shard of a sheet that a human filled in.",
        "sheet": "The filled sheet, where a human grades.",
        "shard": "Which problems: 2-of-8 is every eighth, from the second on.",
    },
)
def run(
    job: Job,
    settings: Settings,
    samples: InputFiles,
    problems: InputFile,
    sheet: InputFiles = (),
    *,
    shard: str = "1-of-1",
    output: OutputFile,
) -> None:
    """Verify completions: one verdict each, from the task's verifier or from a filled sheet."""
    columns = None if settings.by_hand else ("problem_id", "draw", "completion")
    sampled = [row for path in samples for row in read_rows(path, SAMPLES, columns)]
    if settings.by_hand:
        rows = _graded_by_hand(sampled, problems, sheet[0], shard)
    else:
        rows = _verified(settings, sampled, samples, problems)
    counts = Counter(row["verdict"] for row in rows)
    provenance = {**job.provenance, "counts": dict(counts)}
    write_table(output, REWARDS, table(REWARDS, rows), provenance)
    summary = ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
    print(f"rewards: {summary or 'nothing to verify'}", flush=True)


def _graded_by_hand(
    sampled: Sequence[dict[str, Any]], problems: Path, sheet: Path, shard: str
) -> list[dict[str, Any]]:
    """Return the verdicts of one shard; the sheet must hold the completions of all shards."""
    # Loaded by name: the code of sheets is no part of what a program verifies.
    grading_sheet = importlib.import_module("restem.tasks.grading_sheet")
    all_problems = read_problems(problems)
    shard_ids = {problem.id for problem in of_shard(all_problems, shard)}
    points = grading_sheet.points_of(sheet, sampled, all_problems, str(problems))
    keys = [(row["problem_id"], row["draw"]) for row in sampled if row["problem_id"] in shard_ids]
    rows = []
    for key in keys:
        verdict = points[key].verdict
        row = _row({"problem_id": key[0], "draw": key[1]}, verdict, verdict)
        rows.append(row | {"of": float(points[key].of)})
    return rows


def _verified(
    settings: Settings, sampled: Sequence[dict[str, Any]], samples: Sequence[Path], problems: Path
) -> list[dict[str, Any]]:
    """Return the verdicts, and what the flexible extraction would have said."""
    attempts = _attempts(sampled, samples, problems)
    with open_grader(settings.task, settings.verifier, settings.reward) as grader:
        verdicts = grader.verdicts(attempts)
        flexible = grader.verdicts(attempts, "flexible")
    return [_row(*judged) for judged in zip(sampled, verdicts, flexible, strict=True)]


def _attempts(
    drawn: Sequence[dict[str, Any]], samples: Sequence[Path], problems: Path
) -> list[Attempt]:
    """Pair every completion with what its problem is checked against."""
    gold = {problem.id: problem.answer for problem in read_problems(problems)}
    attempts = []
    for row in drawn:
        answer = gold.get(row["problem_id"])
        if answer is None:
            raise RestemError(
                f"problem {row['problem_id']!r} has no gold answer",
                f"{', '.join(map(str, samples))} against {problems}",
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
