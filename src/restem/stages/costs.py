"""Stage costs: what one policy cost to make, and all completions that were drawn from it."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from restem.accounts.costs import Cell, Cost, Use, cost_of_policy, costs_by_cell
from restem.artifacts.schemas.evaluation import COSTS
from restem.artifacts.store import Job
from restem.artifacts.tables import table, write_table
from restem.config.base import Strict
from restem.errors import RestemError
from restem.policies.manifest import read_policy
from restem.stages.declaration import InputFile, InputFiles, OutputFile, stage
from restem.tasks.problem import read_problems


class Settings(Strict):
    """The addresses of the policy and of its completions, below the study's results.

    parts: what is used of those completions that nobody uses whole.
    """

    policy: str
    draws: list[str]
    parts: tuple[Use, ...] = ()


@stage(lock="report")
def run(
    job: Job,
    settings: Settings,
    policy: InputFile,
    samples: InputFiles = (),
    problems: InputFiles = (),
    *,
    output: OutputFile,
) -> None:
    """Count what a policy cost to make, and all completions sampled from it.

    One row for the policy itself, and one for each cell of each address of completions. problems:
    the splits of which some problems only are used. Raises RestemError when a table of samples is
    at no address of the settings.
    """
    forward = read_policy(policy).forward
    rows = [_row(settings.policy, Cell(), cost_of_policy(policy))]
    shards: dict[str, list[Path]] = {name: [] for name in settings.draws}
    for path in samples:
        shards[_address(path, settings.draws)].append(path)
    for name, paths in shards.items():
        uses = [use for use in settings.parts if use.path == name]
        cells: dict[Cell, Cost] = defaultdict(Cost)
        for path in paths:
            split = _problems_of(name, problems)
            for cell, cost in costs_by_cell(path, forward, uses, split).items():
                cells[cell] += cost
        rows += [_row(name, cell, cost) for cell, cost in (cells or {Cell(): Cost()}).items()]
    write_table(output, COSTS, table(COSTS, rows), job.provenance)
    print(
        f"costs: {settings.policy} and {len(shards)} addresses of completions",
        flush=True,
    )


def _row(name: str, cell: Cell, cost: Cost) -> dict[str, object]:
    return {"name": name, **vars(cell), **vars(cost)}


def _problems_of(address: str, tables: Sequence[Path]) -> list[str]:
    """Return the ids of a split's problems, in order; none where no table of it was given."""
    wanted = "/problems/".join(address.split("/")[-4:-2])  # of .../<task>/<split>/<decoding>/<seed>
    found = [path for path in tables if path.as_posix().endswith(f"/{wanted}.parquet")]
    return [problem.id for path in found for problem in read_problems(path)]


def _address(path: Path, addresses: Sequence[str]) -> str:
    """Return the address that a shard is of: `<address>/samples/<shard>`."""
    folder = path.parent.parent.as_posix()
    for address in addresses:
        if folder == address or folder.endswith(f"/{address}"):
            return address
    raise RestemError(
        f"{path} holds no completions of this policy", "--samples", "give those of the settings"
    )
