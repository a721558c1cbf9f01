"""Stage metrics: how many completions of each problem were correct."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from restem.artifacts.schemas.evaluation import METRICS
from restem.artifacts.schemas.loop import REWARDS, SAMPLES
from restem.artifacts.store import Job
from restem.artifacts.tables import read_rows, read_table, table, write_table
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
        rows = [_row(address, None, _count([], Drawn({}, [], None), None), halted)]
    else:
        if len(samples) != len(rewards):
            raise _not_closed(f"{len(samples)} shards drawn, {len(rewards)} verified", output)
        with _equality(settings) as same:  # one shard at a time: texts take memory
            pairs = zip(samples, rewards, strict=True)
            counts = [_counts(Drawn.read(drawn), _verdicts(v), same, output) for drawn, v in pairs]
        of_problem = {name: count for shard in counts for name, count in shard.items()}
        if of_problem.keys() != {problem.id for problem in all_problems}:
            known = f"{len(all_problems)} problems, verdicts for {len(of_problem)}"
            raise _not_closed(known, output)
        rows = [_row(address, p, of_problem[p.id], None) for p in all_problems]
    rows = [row | {"references": manifest.references} for row in rows]
    write_table(output, METRICS, table(METRICS, rows), job.provenance)
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


@dataclass(frozen=True)
class Drawn:
    """The completions of a shard: the place of each by problem and draw, tokens and texts."""

    places: Mapping[tuple[str, int], int]
    tokens: Sequence[int]
    texts: Any

    @classmethod
    def read(cls, samples: Path) -> "Drawn":
        """Read the completions of one file."""
        content = read_table(samples, SAMPLES, ("problem_id", "draw", "tokens", "completion"))
        ids, draws = (content[name].to_pylist() for name in ("problem_id", "draw"))
        places = {key: place for place, key in enumerate(zip(ids, draws, strict=True))}
        return cls(places, content["tokens"].to_pylist(), content["completion"])


def _verdicts(rewards: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the verdicts of one file by problem."""
    columns = ("problem_id", "draw", "verdict", "extracted", "fraction", "of")
    grouped: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in read_rows(rewards, REWARDS, columns):
        grouped[row["problem_id"]].append(row)
    return grouped


def _counts(
    drawn: Drawn,
    verdicts: Mapping[str, Sequence[Mapping[str, Any]]],
    same: Same | None,
    output: Path,
) -> dict[str, dict[str, Any]]:
    """Count the completions of a shard by problem, if each has one verdict and no verdict none."""
    judged = {_key(row) for rows in verdicts.values() for row in rows}
    if judged != drawn.places.keys():
        known = f"{len(drawn.places)} completions, {len(judged)} verdicts"
        raise _not_closed(f"{known} for {len(verdicts)} problems", output)
    return {problem: _count(rows, drawn, same) for problem, rows in verdicts.items()}


def _key(row: Mapping[str, Any]) -> tuple[str, int]:
    return row["problem_id"], row["draw"]


def _not_closed(counts: str, output: Path) -> RestemError:
    return RestemError(
        f"the counts do not close: {counts}",
        str(output),
        "delete the samples and rewards folders beside it and run snakemake again",
    )


def _count(
    verdicts: Sequence[Mapping[str, Any]], drawn: Drawn, same: Same | None
) -> dict[str, Any]:
    counts = Counter(row["verdict"] for row in verdicts)
    places = [drawn.places[_key(row)] for row in verdicts]
    lengths = [drawn.tokens[place] for place in places]
    correct = [
        drawn.texts[place].as_py()
        for row, place in zip(verdicts, places, strict=True)
        if row["verdict"] == "correct"
    ]
    return {
        "draws": len(verdicts),
        "correct": counts["correct"],
        "unextractable": counts["unextractable"],
        "completion_tokens_mean": sum(lengths) / len(lengths) if lengths else 0.0,
        "solutions": to_cell(solution_counts(correct)) if len(verdicts) > 1 else None,
        **_ballot(verdicts, same),
        **_points(verdicts),
    }


def _row(
    address: Mapping[str, Any],
    problem: Problem | None,
    counts: Mapping[str, Any],
    halted: str | None,
) -> dict[str, Any]:
    return {
        **address,
        "problem_id": problem.id if problem else "",
        "subject": problem.subject if problem else "",
        "level": problem.level if problem else None,
        "halted": halted,
        **counts,
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
