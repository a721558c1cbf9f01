"""Stage changes: which test problems a method gained and lost, with some completions in full."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from restem.artifacts.schemas.evaluation import CHANGES
from restem.artifacts.schemas.loop import REWARDS, SAMPLES
from restem.artifacts.store import Job
from restem.artifacts.tables import Kind, read_rows, table, write_table
from restem.config.base import Strict
from restem.stages.declaration import InputFiles, OutputFile, stage
from restem.statistics.changes import Key, Solution, changes, chosen, solutions
from restem.tasks.problem import Problem, read_problems


class Compared(Strict):
    """A policy, and the addresses of the completions of its base model and of itself."""

    task: str
    model: str
    variant: str
    seed: int
    iteration: int
    decoding: str
    before: str
    after: str


class Settings(Strict):
    """What is compared, on which split, and of how many problems of a kind the texts are kept."""

    split: str
    compared: list[Compared]
    shown: int


@stage(lock="report", help={"problems": "The problems of the split, of every compared task."})
def run(
    job: Job,
    settings: Settings,
    samples: InputFiles,
    rewards: InputFiles,
    problems: InputFiles,
    *,
    output: OutputFile,
) -> None:
    """Compare the solutions of base models and of last policies, problem by problem.

    A halted policy has no completions, and so no rows.
    """
    rows: list[dict[str, Any]] = []
    for compared in settings.compared:
        texts, found = [], []
        for address in (compared.before, compared.after):
            drawn = _rows(samples, f"{address}/samples", SAMPLES)
            verdicts = _rows(rewards, f"{address}/rewards", REWARDS)
            texts.append({_key(row): row | verdicts[_key(row)] for row in drawn.values()})
            found.append(solutions(verdicts.values()))
        if all(found):
            paths = _of(problems, f"{compared.task}/problems", f"{settings.split}.parquet")
            asked = {problem.id: problem for path in paths for problem in read_problems(path)}
            rows += _compare(settings, compared, asked, found, texts)
    write_table(output, CHANGES, table(CHANGES, rows), job.provenance)
    counts = Counter(row["change"] for row in rows)
    said = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
    print(f"changes: {len(settings.compared)} policies compared: {said or 'nothing'}", flush=True)


def _compare(
    settings: Settings,
    compared: Compared,
    problems: Mapping[str, Problem],
    found: Sequence[Mapping[str, Solution]],
    texts: Sequence[Mapping[Key, Mapping[str, Any]]],
) -> Iterator[dict[str, Any]]:
    kinds = changes(*found)
    places = chosen(kinds, settings.shown)
    address = compared.model_dump(exclude={"before", "after"}) | {"split": settings.split}
    for name, problem in problems.items():
        row = {**address, "problem_id": name, "change": kinds[name], "place": places.get(name)}
        if name in places:
            row |= {"question": problem.question, "answer": problem.answer}
        for when, of_policy, drawn in zip(("before", "after"), found, texts, strict=True):
            solution = of_policy[name]
            row |= {f"{when}_draws": solution.draws, f"{when}_correct": solution.correct}
            if name in places:
                shown = ("completion", "extracted", "verdict", "tokens", "finish_reason")
                row |= {f"{when}_{column}": drawn[solution.key][column] for column in shown}
        yield row


def _rows(paths: Sequence[Path], folder: str, kind: Kind) -> dict[Key, dict[str, Any]]:
    return {_key(row): row for path in _of(paths, folder) for row in read_rows(path, kind)}


def _of(paths: Sequence[Path], folder: str, name: str = "") -> list[Path]:
    """Return the files in a folder that ends with the address of some completions or a task."""
    inside = [path for path in paths if f"/{path.parent.as_posix()}".endswith(f"/{folder}")]
    return [path for path in inside if not name or path.name == name]


def _key(row: Mapping[str, Any]) -> Key:
    return row["problem_id"], row["draw"]
