"""Stage samples: the completions that one policy draws on one split (the E-step's first half)."""

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from restem.artifacts import Job
from restem.config.decoding import Decoding
from restem.config.models import EngineSettings
from restem.config.strict import Strict
from restem.policies import PolicyManifest, read_policy, verify_checkpoint
from restem.provenance import digest
from restem.sampling.engine import Completion, Engine, Request, draw_seed
from restem.sampling.pool import Key, Pool, key
from restem.tables import table, write_table
from restem.tasks.problem import Problem
from restem.tasks.registry import load_task
from restem.tasks.table import read_problems
from restem.tasks.task import Task, few_shot_prefix

SAVE_SECONDS = 20.0


class Settings(Strict):
    """What this stage reads of the configuration; the address decides the seeds."""

    task: str
    engine: EngineSettings
    decoding: Decoding
    address: tuple[str, str, int]


def run(
    job: Job, policy: Path, problems: Path, shots: Path, shard: str, threads: int, output: Path
) -> None:
    """Write the completions of one shard; those that the pool holds are not drawn again."""
    settings = Settings.model_validate(job.recipe.settings)
    manifest = read_policy(policy)
    if manifest.halted:
        write_table(output, "samples", table("samples", []), {**job.provenance, "engine": "none"})
        print(f"samples: none, the policy is halted: {manifest.halted}", flush=True)
        return
    task = load_task(settings.task)
    prefix = few_shot_prefix(task, read_problems(shots))
    chosen = of_shard(read_problems(problems), shard)
    requests = [_request(task, settings, manifest.content, prefix, p) for p in chosen]
    pool = Pool(output, _draw_recipe(job))
    rows = pool.rows({k for request in requests for k in _keys(request)})
    kept = len(rows)
    engine = _draw(_missing(requests, rows), settings, task, manifest, threads, pool, rows)
    ordered = [rows[k] for request in requests for k in _keys(request)]
    counts = {"problems": len(requests), "drawn": len(rows) - kept, "kept": kept}
    provenance = {**job.provenance, "engine": engine, "counts": counts}
    write_table(output, "samples", table("samples", ordered), provenance)
    pool.close(set(rows))
    job.notes.update(counts)
    print(f"samples: {counts['drawn']} drawn, {kept} kept from before", flush=True)


def of_shard(problems: Sequence[Problem], shard: str) -> list[Problem]:
    """Return the problems of a shard named `2-of-8`: every eighth, from the second on."""
    index, count = map(int, shard.split("-of-"))
    return list(problems[index - 1 :: count])


def _request(task: Task, settings: Settings, policy: str, prefix: str, problem: Problem) -> Request:
    draws = tuple(range(settings.decoding.draws))
    split, decoding, seed = settings.address
    seeds = tuple(draw_seed(policy, split, decoding, problem.id, draw, seed) for draw in draws)
    return Request(problem.id, prefix, task.question(problem.question), draws, seeds)


def _request_digest(request: Request) -> str:
    return digest([request.problem_id, request.prefix, request.prompt])[:16]


def _keys(request: Request) -> list[Key]:
    name = _request_digest(request)
    return [(name, d, s) for d, s in zip(request.draws, request.seeds, strict=True)]


def _draw_recipe(job: Job) -> str:
    """Return the digest of what decides a draw besides its request, its number and its seed."""
    decoding = {k: v for k, v in job.recipe.settings["decoding"].items() if k != "draws"}
    code, policy = dict(job.recipe.code), job.recipe.inputs["policy"]
    return digest([code, job.recipe.environment, policy, decoding, job.recipe.settings["engine"]])


def _missing(requests: Sequence[Request], rows: dict[Key, dict[str, Any]]) -> list[Request]:
    """Narrow requests to the draws that are not there yet."""
    narrowed = []
    for request in requests:
        left = [(d, s) for (n, d, s) in _keys(request) if (n, d, s) not in rows]
        if left:
            draws, seeds = zip(*left, strict=True)
            narrowed.append(
                Request(request.problem_id, request.prefix, request.prompt, draws, seeds)
            )
    return narrowed


def _draw(
    requests: Sequence[Request],
    settings: Settings,
    task: Task,
    manifest: PolicyManifest,
    threads: int,
    pool: Pool,
    rows: dict[Key, dict[str, Any]],
) -> str:
    """Draw what is missing into `rows`, saving as it goes; return the engine's name."""
    if not requests:
        return "none"
    engine = _load(manifest, settings.engine, threads)
    made_by = engine.version
    names = {request.problem_id: _request_digest(request) for request in requests}
    new: list[dict[str, Any]] = []
    saved = time.monotonic()
    for group in _watched(engine.sample(requests, settings.decoding, task.stop), requests):
        new += [_row(completion, names[completion.problem_id], made_by) for completion in group]
        if time.monotonic() - saved > SAVE_SECONDS:
            pool.save(new)
            rows.update({key(row): row for row in new})
            new, saved = [], time.monotonic()
    rows.update({key(row): row for row in new})
    return made_by


def _load(manifest: PolicyManifest, settings: EngineSettings, threads: int) -> Engine:
    from restem.sampling.loading import load_engine

    return load_engine(verify_checkpoint(manifest), settings, threads)


def _row(completion: Completion, request: str, engine: str) -> dict[str, Any]:
    return {
        "problem_id": completion.problem_id,
        "draw": completion.draw,
        "seed": completion.seed,
        "completion": completion.text,
        "tokens": completion.tokens,
        "prompt_tokens": completion.prompt_tokens,
        "finish_reason": completion.finish_reason,
        "stop_reason": completion.stop_reason,
        "logprob": completion.logprob,
        "request": request,
        "engine": engine,
    }


def _watched(
    groups: Iterator[list[Completion]], requests: Sequence[Request]
) -> Iterator[list[Completion]]:
    """Pass groups on, and tell a person how far it is and how fast it goes."""
    total = sum(len(request.draws) for request in requests)
    done, tokens, started = 0, 0, time.monotonic()
    told = started
    for group in groups:
        yield group
        done += len(group)
        tokens += sum(completion.tokens for completion in group)
        now = time.monotonic()
        if now - told > 5 or done == total:
            told, rate = now, tokens / max(now - started, 1e-9)
            left = (now - started) / done * (total - done)
            line = f"samples: {done}/{total} completions, {rate:.0f} tokens/s, {left:.0f} s left"
            print(line, file=sys.stderr, flush=True)
