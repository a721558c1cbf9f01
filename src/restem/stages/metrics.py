"""Stage metrics: how many completions of each problem were correct."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from restem.artifacts.store import Job
from restem.artifacts.tables import read_rows, table, write_table
from restem.config.base import Strict, VerifierModule
from restem.config.reward import Reward
from restem.errors import RestemError
from restem.policies.manifest import read_policy
from restem.rewards.registry import load_verifier
from restem.stages.declaration import InputFile, InputFiles, OutputFile, stage
from restem.statistics.diversity import solution_counts
from restem.statistics.votes import Same, ballot_of, to_cell
from restem.tasks.problem import Problem, read_problems


class Settings(Strict):
    """The address of what is counted: policy, evaluated split and decoding.

    greedy: whether the decoding has temperature 0. verifier, reward: what decides which answers
    vote together; without a verifier, answers are equal as texts only.
    """

    task: str
    split: str
    decoding: str
    train_task: str
    model: str
    variant: str
    seed: int
    iteration: int
    greedy: bool
    verifier: VerifierModule = ""
    reward: Reward = Reward()


@stage(lock="data")
def run(
    job: Job,
    settings: Settings,
    samples: InputFiles,
    rewards: InputFiles,
    problems: InputFile,
    policy: InputFile,
    *,
    output: OutputFile,
) -> None:
    """Count the correct completions of every problem; a halted policy has one row."""
    address = settings.model_dump(exclude={"train_task", "verifier", "reward"})
    manifest = read_policy(policy)
    halted = manifest.halted
    all_problems = read_problems(problems)
    if halted:
        rows = [_row(address, None, [], {}, halted, None)]
    else:
        drawn = {_key(r): r for path in samples for r in read_rows(path, "samples")}
        verdicts = _by_problem(rewards)
        _close_counts(all_problems, drawn, verdicts, output)
        with _equality(settings) as same:
            rows = [_row(address, p, verdicts[p.id], drawn, None, same) for p in all_problems]
    rows = [row | {"references": manifest.references} for row in rows]
    write_table(output, "metrics", table("metrics", rows), job.provenance)
    correct, draws = (sum(row[name] for row in rows) for name in ("correct", "draws"))
    share = f"{correct / draws:.1%} of {draws} correct" if draws else f"halted: {halted}"
    print(f"metrics: {settings.variant}/{settings.iteration} on {settings.split}, {share}")


@contextmanager
def _equality(settings: Settings) -> Iterator[Same | None]:
    """Open the equality of the task's verifier; each pair is compared once while it is open."""
    if not settings.verifier:
        yield None
        return
    with load_verifier(settings.verifier)(settings.reward, ()) as verifier:
        compare = verifier.compare  # type: ignore[attr-defined]
        yield lambda pairs: [verdict.verdict == "correct" for verdict in compare(pairs)]


def _key(row: Mapping[str, Any]) -> tuple[str, int]:
    return row["problem_id"], row["draw"]


def _by_problem(paths: Sequence[Path]) -> dict[str, list[dict[str, Any]]]:
    grouped: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for path in paths:
        for row in read_rows(path, "rewards"):
            grouped[row["problem_id"]].append(row)
    return grouped


def _close_counts(
    all_problems: Sequence[Problem],
    drawn: Mapping[tuple[str, int], Mapping[str, Any]],
    verdicts: Mapping[str, Sequence[Mapping[str, Any]]],
    output: Path,
) -> None:
    """Refuse verdicts without a completion, completions without a verdict, problems without."""
    judged = {_key(row) for rows in verdicts.values() for row in rows}
    if judged != set(drawn) or {problem.id for problem in all_problems} != set(verdicts):
        raise RestemError(
            f"the counts do not close: {len(all_problems)} problems, {len(drawn)} completions, "
            f"{len(judged)} verdicts for {len(verdicts)} problems",
            str(output),
            "delete the samples and rewards folders beside it and run snakemake again",
        )


def _row(
    address: Mapping[str, Any],
    problem: Problem | None,
    verdicts: Sequence[Mapping[str, Any]],
    drawn: Mapping[tuple[str, int], Mapping[str, Any]],
    halted: str | None,
    same: Same | None,
) -> dict[str, Any]:
    counts = Counter(row["verdict"] for row in verdicts)
    lengths = [drawn[_key(row)]["tokens"] for row in verdicts]
    correct = [drawn[_key(row)]["completion"] for row in verdicts if row["verdict"] == "correct"]
    return {
        **address,
        "problem_id": problem.id if problem else "",
        "subject": problem.subject if problem else "",
        "level": problem.level if problem else None,
        "draws": len(verdicts),
        "correct": counts["correct"],
        "unextractable": counts["unextractable"],
        "completion_tokens_mean": sum(lengths) / len(lengths) if lengths else 0.0,
        "halted": halted,
        "solutions": to_cell(solution_counts(correct)) if len(verdicts) > 1 else None,
        **_ballot(verdicts, same),
        **_points(verdicts),
    }


def _points(verdicts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the mean points that a human gave, and of how many; none where none were given."""
    if not verdicts or any(row["of"] is None for row in verdicts):
        return {"points": None, "of": None}
    full = verdicts[0]["of"]
    return {"points": full * sum(row["fraction"] for row in verdicts) / len(verdicts), "of": full}


def _ballot(verdicts: Sequence[Mapping[str, Any]], same: Same | None) -> dict[str, Any]:
    """Return what a vote needs; one draw, or draws without answers, make none."""
    drawn = sorted(verdicts, key=lambda row: int(row["draw"]))
    if len(drawn) < 2 or all(row["extracted"] is None for row in drawn):
        return {"choices": None, "right": None}
    ballot = ballot_of(drawn, [row["extracted"] for row in drawn], same)
    return {"choices": to_cell(ballot.choices), "right": to_cell(sorted(ballot.right))}
