"""Stage samples: sample completions from one policy on one split (first half of an E-step)."""

import importlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from restem.artifacts.digests import digest
from restem.artifacts.schemas.loop import REWARDS, SAMPLES
from restem.artifacts.store import Job
from restem.artifacts.tables import read_rows, table, write_table
from restem.config.base import LOADS_VERIFIER, Loads, Strict, TaskModule
from restem.config.decoding import Decoding
from restem.config.models import EngineSettings, PromptKind
from restem.config.reward import Reward
from restem.config.steps import Search
from restem.errors import RestemError
from restem.policies.manifest import PolicyManifest, read_policy, verify_checkpoint
from restem.sampling.engine import REPRODUCIBLE, BadPrompts, Engine, Request, draw_seed
from restem.sampling.pool import Key, Pool, keys_of
from restem.sampling.prompts import PromptForm, Prompts
from restem.sampling.sampler import Sampler, stream_seed, without_rows
from restem.sampling.usage import Progress, UsageCounter, sum_usage
from restem.stages.declaration import InputFile, InputFiles, OutputFile, Resource, stage
from restem.tasks.problem import Problem, of_shard, read_problems
from restem.tasks.registry import load_task
from restem.tasks.task import Task, hinted

Load = Callable[[int], Engine]
"""Load the engine with the seed of its stream."""

_NAMED = 20  # problems that a message lists by id


class Settings(Strict):
    """What this stage reads of the configuration; the address decides the seeds.

    hint: whether this is a second try, which shows the answer. first_try_draws: it is at the
    problems that so many draws of the first try did not solve. search: how solutions are searched
    for with the verifier, instead of sampled one by one.
    """

    task: TaskModule
    engine: EngineSettings
    decoding: Decoding
    address: tuple[str, str, int]
    window: tuple[int, int] | None = None
    hint: bool = False
    first_try_draws: int | None = None
    prompt: PromptKind = "base"
    search: Annotated[Search | None, Loads("restem.sampling.search")] = None
    verifier: Annotated[str | None, LOADS_VERIFIER] = None
    reward: Reward = Reward()


@stage(
    lock="model",
    engine=True,
    help={
        "replicas": "How many engines of vLLM divide the problems, each with GPUs of its own.",
        "first_try": "Verdicts of the draws that a second try, with hints, follows.",
        "shard": "Which problems: 2-of-8 is every eighth, from the second on.",
    },
)
def run(
    job: Job,
    settings: Settings,
    policy: InputFile,
    problems: InputFile,
    shots: InputFile,
    first_try: InputFiles = (),
    *,
    shard: str = "1-of-1",
    threads: Annotated[int, Resource] = 1,
    replicas: Annotated[int, Resource] = 1,
    output: OutputFile,
) -> None:
    """Sample completions from a policy; those sampled before are kept."""
    manifest = read_policy(policy)
    if manifest.halted:
        write_table(output, SAMPLES, table(SAMPLES, []), {**job.provenance, "engine": "none"})
        print(f"samples: none, the policy is halted: {manifest.halted}", flush=True)
    elif settings.search:
        chosen = of_shard(read_problems(problems), shard)
        engine = _load(manifest, settings.engine, threads)  # one: problems come one by one
        _search(job, settings, manifest, chosen, read_problems(shots), engine, output)
    else:
        load = partial(_load, manifest, settings.engine, threads, replicas)
        _sample(job, settings, manifest, problems, shots, first_try, shard, load, output)


def _search(
    job: Job,
    settings: Settings,
    manifest: PolicyManifest,
    problems: Sequence[Problem],
    shots: Sequence[Problem],
    engine: Engine,
    output: Path,
) -> None:
    """Write the solutions that a search with the verifier as judge finds."""
    # Loaded by name: the code of a search is no part of what is sampled without one.
    searching = importlib.import_module("restem.sampling.search")
    form = _prompts(settings, manifest, shots).form(manifest.own_prompt(settings.task))
    rows = searching.search(settings, engine, manifest.content, form, problems)
    provenance = _provenance(job, settings, engine.version)
    write_table(output, SAMPLES, table(SAMPLES, rows), provenance)
    print(f"samples: {len(rows)} solutions of {len(problems)} problems found", flush=True)


def _sample(
    job: Job,
    settings: Settings,
    manifest: PolicyManifest,
    problems: Path,
    shots: Path,
    first_try: Sequence[Path],
    shard: str,
    load: Load,
    output: Path,
) -> None:
    """Write the completions of one shard; those that the pool holds are not sampled again."""
    task = load_task(settings.task)
    everything = of_window(read_problems(problems), settings.window)
    chosen = unsolved(of_shard(everything, shard), first_try, settings.first_try_draws)
    forms = _forms(settings, manifest, read_problems(shots), chosen)
    content = manifest.content
    requests = [_request(task, settings, content, forms[p.subject], p) for p in chosen]
    stops = next(iter(forms.values())).stops(task.stop) if forms else task.stop
    pool = Pool(output, _draw_recipe(job))
    usage_before = pool.saved_usage()
    rows = pool.rows({key for request in requests for key in keys_of(request)})
    kept = len(rows)
    counter = UsageCounter()
    engine = _draw(requests, settings, stops, load, pool, rows, counter)
    ordered = [rows[key] for request in requests for key in keys_of(request)]
    counts = {"problems": len(requests), "drawn": len(rows) - kept, "kept": kept}
    usage = sum_usage([*usage_before, counter.total()])
    provenance = _provenance(job, settings, engine) | {"counts": counts, "usage": usage}
    write_table(output, SAMPLES, table(SAMPLES, ordered), provenance)
    pool.close(set(rows))
    job.notes.update(counts, usage=usage)
    print(f"samples: {counts['drawn']} drawn, {kept} kept from before", flush=True)


def _provenance(job: Job, settings: Settings, engine: str) -> dict[str, Any]:
    """Return what a table of completions records; engine: its version."""
    seeds = settings.engine.seeds
    promise = {"seeds": seeds, "reproducible": REPRODUCIBLE[seeds]}
    return {**job.provenance, "engine": engine, **promise}


def of_window(problems: Sequence[Problem], window: tuple[int, int] | None) -> list[Problem]:
    """Return a batch: so many problems from a first one on, and from the start after the last."""
    if window is None or not problems:
        return list(problems)
    first, count = window
    places = range(first, first + min(count, len(problems)))
    return [problems[place % len(problems)] for place in places]


def unsolved(
    problems: Sequence[Problem], first_try: Sequence[Path], draws: int | None = None
) -> list[Problem]:
    """Leave out the problems with a correct draw in the first try; without one, none.

    draws: number of draws of the first try that count; it may hold more for another variant.
    """
    columns = ("problem_id", "draw", "verdict")
    rows = (row for path in first_try for row in read_rows(path, REWARDS, columns))
    tried = (row for row in rows if draws is None or row["draw"] < draws)
    solved = {row["problem_id"] for row in tried if row["verdict"] == "correct"}
    return [problem for problem in problems if problem.id not in solved]


def _prompts(settings: Settings, manifest: PolicyManifest, shots: Sequence[Problem]) -> Prompts:
    is_chat = settings.prompt == "chat"
    checkpoint = verify_checkpoint(manifest) if is_chat else manifest.checkpoint
    return Prompts(settings.prompt, load_task(settings.task), shots, checkpoint)


def _forms(
    settings: Settings,
    manifest: PolicyManifest,
    shots: Sequence[Problem],
    problems: Sequence[Problem],
) -> dict[str, PromptForm]:
    """Return the form of the prompts of each subject."""
    prompts, own = _prompts(settings, manifest, shots), manifest.own_prompt(settings.task)
    subjects = dict.fromkeys(problem.subject for problem in problems)
    return {subject: prompts.form(own, subject, settings.hint) for subject in subjects}


def _request(
    task: Task, settings: Settings, policy: str, form: PromptForm, problem: Problem
) -> Request:
    draws = tuple(range(settings.decoding.draws))
    split, decoding, seed = settings.address
    name = f"{decoding}+hint" if settings.hint else decoding
    seeds = tuple(draw_seed(policy, split, name, problem.id, draw, seed) for draw in draws)
    question = hinted(task, problem) if settings.hint else task.question(problem.question)
    return form.request(problem.id, question, draws, seeds)


def _draw_recipe(job: Job) -> str:
    """Return the digest of what decides a draw besides its request, its number and its seed."""
    decoding = {k: v for k, v in job.recipe.settings["decoding"].items() if k != "draws"}
    code, policy = dict(job.recipe.code), job.recipe.inputs["policy"]
    return digest([code, job.recipe.environment, policy, decoding, job.recipe.settings["engine"]])


def _draw(
    requests: Sequence[Request],
    settings: Settings,
    stops: tuple[str, ...],
    load: Load,
    pool: Pool,
    rows: dict[Key, dict[str, Any]],
    counter: UsageCounter,
) -> str:
    """Sample the missing draws into `rows`, saving them on the way; return the engine's version."""
    wanted = without_rows(requests, rows)
    missing = sum(len(request.draws) for request in wanted)
    if not missing:
        return "none"
    engine = load(stream_seed(wanted))
    counter.attach(engine)
    sampler = Sampler(engine, settings.decoding, stops, pool, rows)
    progress = Progress(missing)
    sampler.sample(requests, counter, progress)
    print(progress.line(), flush=True)
    if sampler.empty:
        _tell_empty(sampler.empty, missing)
    if sampler.refused:
        raise _refusal(sampler.refused, len(rows))
    return engine.version


def _tell_empty(problem_ids: Sequence[str], drawn: int) -> None:
    """Name the problems with completions without text; they count as what the model said."""
    names = list(dict.fromkeys(problem_ids))
    some = ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
    print(f"samples: {len(problem_ids)} of {drawn} completions are empty: {some}", flush=True)


def _refusal(refused: Sequence[BadPrompts], drawn: int) -> RestemError:
    """Say which problems nothing could be drawn for, all at once."""
    ids = [problem_id for problem in refused for problem_id in problem.problem_ids]
    reasons = "; ".join(dict.fromkeys(problem.what for problem in refused))
    return BadPrompts(
        f"{reasons} ({drawn} completions of the other problems are drawn and kept)",
        ids,
        "; ".join(dict.fromkeys(problem.fix for problem in refused)),
    )


def _load(
    manifest: PolicyManifest,
    settings: EngineSettings,
    threads: int,
    replicas: int = 1,
    seed: int = 0,
) -> Engine:
    from restem.sampling.loading import load_engine

    return load_engine(verify_checkpoint(manifest), settings, threads, seed, replicas)
