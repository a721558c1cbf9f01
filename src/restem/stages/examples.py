"""Stage examples: select what a policy is trained on, and record why the rest is not."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from restem.answers.normalise import canonical_answer
from restem.artifacts.schemas.loop import EXAMPLES, HUMAN, KEPT, REWARDS, SAMPLES
from restem.artifacts.store import Job
from restem.artifacts.tables import Kind, read_table, table, write_parts
from restem.config.base import Strict, TaskModule
from restem.config.models import PromptKind
from restem.config.selection import Selection
from restem.errors import RestemError
from restem.selection.decide import Candidate, decide
from restem.stages.declaration import InputFile, InputFiles, OutputFile, stage
from restem.tasks.problem import Problem, read_problems
from restem.tasks.registry import load_task
from restem.tasks.task import Task, few_shot_prefix

NO_DRAW = -1
WITHOUT_SOLUTION = "no reference solution"
REFERENCE = "reference"
_KEY = ("problem_id", "draw")
_COMPLETION = ("completion", "finish_reason")
_VERDICT = ("verdict", "reward", "fraction", "extracted")
_ROWS_TOGETHER = 4_096


class Settings(Strict):
    """What this stage reads of the configuration.

    prompt: the form of the policy's prompts; a turn is kept as it was sampled, without a frame.
    """

    task: TaskModule
    prompt: PromptKind = "base"
    selection: Selection
    seed: tuple[int, ...] = ()
    sources: tuple[tuple[str, int], ...] = (("model", 0),)
    drawn: list[int] | None = None


@stage(lock="data")
def run(
    job: Job,
    settings: Settings,
    samples: InputFiles = (),
    rewards: InputFiles = (),
    *,
    problems: InputFile,
    shots: InputFile,
    output: OutputFile,
) -> None:
    """Select training examples, and record why each other completion was dropped.

    One row for each completion and each human solution. The shards are ordered by source. Where
    problems are selected independently of each other, one shard is in memory at a time, and of its
    rows some thousand as Python objects.
    """
    task = load_task(settings.task)
    by_id = {problem.id: problem for problem in read_problems(problems)}
    prefix = few_shot_prefix(task, read_problems(shots))
    counts: Counter[str] = Counter()
    solved = set[str]()

    def counted(rows: Sequence[dict[str, Any]]) -> pa.Table:
        counts.update(row["decision"] for row in rows)
        solved.update(row["problem_id"] for row in rows if row["decision"] == KEPT)
        return table(EXAMPLES, rows)

    parts = map(counted, _rows(settings, task, by_id, prefix, samples, rewards))
    write_parts(output, EXAMPLES, parts, {**job.provenance, "counts": counts})
    summary = ", ".join(f"{count} {reason}" for reason, count in counts.most_common())
    print(f"examples: {summary or 'none'}; from {len(solved)} of {len(by_id)} problems", flush=True)


def _rows(
    settings: Settings,
    task: Task,
    by_id: Mapping[str, Problem],
    prefix: str,
    samples: Sequence[Path],
    rewards: Sequence[Path],
) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows of what is selected together, then those of the reference solutions."""
    allowed = _allowed(settings, list(by_id), None)
    for drawn in _batches(settings, samples, rewards):
        allowed = _allowed(settings, list(by_id), drawn.pop(REFERENCE, None))
        candidates = [candidate for group in drawn.values() for candidate in group]
        yield _model_rows(settings, task, by_id, prefix, candidates, allowed)
        del drawn, candidates  # before the next are read
    if settings.selection.human is not None:
        usable = {name: problem for name, problem in by_id.items() if name in allowed}
        yield _human_rows(settings, task, usable, prefix)


def _batches(
    settings: Settings, samples: Sequence[Path], rewards: Sequence[Path]
) -> Iterator[dict[str, list[Candidate]]]:
    """Yield completions by source: those of some problems, or all that have to be compared.

    All are needed together where selection ranks them across problems, and where several sources
    may divide their problems into shards differently.
    """
    selection = settings.selection
    ranked = selection.top_share is not None or selection.weight == "control_variate"
    sources = [name for name, _ in settings.sources]
    if ranked or len(sources) > 1 or REFERENCE in sources or not samples:
        count = len(samples) // max(len(sources), 1)
        drawn = {}
        for place in range(len(sources)):
            shards = slice(place * count, (place + 1) * count)
            label, considered = _considered(
                settings, place, _paired(samples[shards], rewards[shards])
            )
            drawn[label] = considered
        yield drawn
    else:
        for some_samples, some_rewards in zip(samples, rewards, strict=True):
            for pairs in _by_problem(_paired([some_samples], [some_rewards])):
                yield dict([_considered(settings, 0, pairs)])


def _considered(settings: Settings, place: int, pairs: pa.Table) -> tuple[str, list[Candidate]]:
    """Return a source, and its completions, no more of each problem than the policy looks at."""
    name, age = settings.sources[place]
    limit = settings.drawn[place] if settings.drawn else None
    considered = [
        Candidate(
            row["problem_id"],
            row["draw"],
            row["completion"],
            row["verdict"],
            row["reward"],
            row["fraction"],
            canonical_answer(row["extracted"]),
            source=name,
            age=age,
            cut_off=row["finish_reason"] == "length",
        )
        for row in pairs.to_pylist()
        if limit is None or row["draw"] < limit
    ]
    return name if age == 0 else f"{name}, {age} back", considered


def _allowed(
    settings: Settings, problem_ids: Sequence[str], reference: Sequence[Candidate] | None
) -> frozenset[str]:
    """Return the ids of the problems to train on."""
    first = problem_ids[: settings.selection.first_problems(len(problem_ids))]
    if reference is None:
        return frozenset(first)
    return frozenset(first) & {d.problem_id for d in reference if d.reward > 0}


def _paired(samples: Sequence[Path], rewards: Sequence[Path]) -> pa.Table:
    """Pair every completion with its verdict, in the order of the verdicts.

    Raises RestemError if a completion has no verdict.
    """
    drawn = _concatenated(samples, SAMPLES, [*_KEY, *_COMPLETION])
    verdicts = _concatenated(rewards, REWARDS, [*_KEY, *_VERDICT])
    if not drawn.select(_KEY).equals(verdicts.select(_KEY)):
        places = {key: place for place, key in enumerate(_keys(drawn))}
        found = [places.pop(key, None) for key in _keys(verdicts)]
        if places:
            problem_id, draw = next(iter(places))
            raise RestemError(
                f"{len(places)} completions have no verdict",
                f"problem {problem_id}, draw {draw}",
                "delete the rewards folder beside the samples and run snakemake again",
            )
        verdicts = verdicts.filter(pa.array([place is not None for place in found], pa.bool_()))
        drawn = drawn.take(pa.array([p for p in found if p is not None], pa.int64()))
    for name in _COMPLETION:
        verdicts = verdicts.append_column(name, drawn[name])
    return verdicts


def _concatenated(paths: Sequence[Path], kind: Kind, columns: Sequence[str]) -> pa.Table:
    tables = [read_table(path, kind, columns) for path in paths]
    return pa.concat_tables([table(kind, []).select(columns), *tables])


def _keys(rows: pa.Table) -> Iterator[tuple[str, int]]:
    return zip(*(rows[name].to_pylist() for name in _KEY), strict=True)


def _by_problem(pairs: pa.Table) -> Iterator[pa.Table]:
    """Yield whole problems, in the order of their first rows, some thousand rows at a time."""
    problems = pairs["problem_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    if np.any(np.diff(problems) < 0):
        order = np.argsort(problems, kind="stable")
        pairs, problems = pairs.take(order), problems[order]
    starts = np.flatnonzero(np.diff(problems, prepend=-1)).tolist()
    begin = 0
    for end in [*starts[1:], pairs.num_rows]:
        if end - begin >= _ROWS_TOGETHER or end == pairs.num_rows:
            yield pairs.slice(begin, end - begin)
            begin = end


def _model_rows(
    settings: Settings,
    task: Task,
    by_id: Mapping[str, Problem],
    prefix: str,
    drawn: Sequence[Candidate],
    allowed: frozenset[str],
) -> list[dict[str, Any]]:
    decisions = decide(drawn, settings.selection, settings.seed, allowed)
    return [
        _row(
            task, by_id[d.candidate.problem_id], prefix, _source(d.candidate), d.candidate.draw,
            d.decision, d.weight, _sampled(settings, task, d.candidate.completion),
        )
        for d in decisions
    ]  # fmt: skip


def _source(candidate: Candidate) -> str:
    """Name where an example comes from; the hint itself is never part of its prompt."""
    return f"{candidate.source}:{candidate.age}" if candidate.age else candidate.source


def _sampled(settings: Settings, task: Task, completion: str) -> str:
    """Return a completion as the target of an example; a turn ends by itself."""
    return completion if settings.prompt == "chat" else task.answer(completion)


def _written(settings: Settings, task: Task, solution: str) -> str:
    """Return a reference solution as the target of an example."""
    answer = task.answer(solution)
    return answer.strip() if settings.prompt == "chat" else answer


def _human_rows(
    settings: Settings, task: Task, by_id: Mapping[str, Problem], prefix: str
) -> list[dict[str, Any]]:
    """Return a row for each problem: its reference solution, or that it has none.

    Raises RestemError if too few problems have one.
    """
    selection = settings.selection
    source = str(selection.human)
    count = sum(source in problem.solutions for problem in by_id.values())
    if by_id and (not count or count < selection.human_share_min * len(by_id)):
        raise _too_few(source, count, by_id, selection.human_share_min)
    kept = {True: KEPT, False: WITHOUT_SOLUTION}
    return [
        _row(
            task, p, prefix, f"{HUMAN}:{source}", NO_DRAW, kept[source in p.solutions],
            float(source in p.solutions), _written(settings, task, p.solutions.get(source, "")),
        )
        for p in by_id.values()
    ]  # fmt: skip


def _too_few(source: str, count: int, by_id: Mapping[str, Problem], least: float) -> RestemError:
    offered = sorted({name for p in by_id.values() for name in p.solutions} - {source})
    named = f"; this task also has {', '.join(offered)} solutions" if offered else ""
    return RestemError(
        f"{count:,} of {len(by_id):,} training problems have a reference solution {source!r}, "
        f"and the method wants {least:.0%} of them",
        "selection.human, selection.human_share_min",
        f"use data with more solutions, or set human_share_min lower{named}",
    )


def _row(
    task: Task,
    problem: Problem,
    prefix: str,
    source: str,
    draw: int,
    decision: str,
    weight: float,
    target: str,
) -> dict[str, Any]:
    kept = decision == KEPT
    return {
        "problem_id": problem.id,
        "source": source,
        "draw": draw,
        "decision": decision,
        "weight": weight,
        "prefix": prefix if kept else None,
        "prompt": task.question(problem.question) if kept else None,
        "target": target if kept else None,
    }
