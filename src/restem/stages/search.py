"""Stage search: solutions that a search with the verifier finds, instead of plain draws."""

from collections.abc import Sequence
from pathlib import Path

from restem.artifacts.store import Job
from restem.artifacts.tables import table, write_table
from restem.config.base import Strict
from restem.config.decoding import Decoding
from restem.config.method import Search
from restem.config.models import EngineSettings
from restem.config.reward import Reward
from restem.policies.manifest import read_policy, verify_checkpoint
from restem.rewards.verifier import Attempt
from restem.sampling.beam import BeamSearch
from restem.sampling.engine import Request, draw_seed
from restem.sampling.loading import load_engine
from restem.sampling.rows import of_shard, row_of
from restem.tasks.grading import open_grader
from restem.tasks.problem import read_problems
from restem.tasks.registry import load_task
from restem.tasks.task import few_shot_prefix


class Settings(Strict):
    """What this stage reads of the configuration."""

    task: str
    verifier: str
    reward: Reward
    engine: EngineSettings
    decoding: Decoding
    search: Search
    address: tuple[str, str, int]


def run(
    job: Job, policy: Path, problems: Path, shots: Path, shard: str, threads: int, output: Path
) -> None:
    """Write the completions that are left in the beam of every problem."""
    settings = Settings.model_validate(job.recipe.settings)
    manifest = read_policy(policy)
    if manifest.halted:
        write_table(output, "samples", table("samples", []), {**job.provenance, "engine": "none"})
        return
    task = load_task(settings.task)
    prefix = manifest.prefix(settings.task) or few_shot_prefix(task, read_problems(shots))
    chosen = of_shard(read_problems(problems), shard)
    gold = {problem.id: problem.answer or "" for problem in chosen}
    engine = load_engine(verify_checkpoint(manifest), settings.engine, threads)
    rows = []
    with open_grader(settings.task, settings.verifier, settings.reward) as grader:

        def judge(pairs: Sequence[tuple[str, str]]) -> list[float]:
            attempts = [Attempt(gold[name], text) for name, text in pairs]
            return [verdict.reward for verdict in grader.verdicts(attempts)]

        beam = BeamSearch(engine, settings.decoding, settings.search, task.stop, judge)
        for problem in chosen:
            split, decoding, seed = settings.address
            first = draw_seed(manifest.content, split, f"{decoding}+beam", problem.id, 0, seed)
            asked = task.question(problem.question)
            request = Request(problem.id, prefix, asked, (0,), (first,))
            rows += [row_of(found, "beam", engine.version) for found in beam.solve(request)]
    provenance = {**job.provenance, "engine": engine.version}
    write_table(output, "samples", table("samples", rows), provenance)
    print(f"search: {len(rows)} solutions of {len(chosen)} problems", flush=True)
