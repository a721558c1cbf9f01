"""Stage costs: what one policy cost to make, and all completions that were drawn from it."""

from collections.abc import Sequence
from pathlib import Path

from restem.accounts.costs import cost_of_policy, cost_of_samples, total
from restem.artifacts.store import Job
from restem.artifacts.tables import table, write_table
from restem.config.base import Strict
from restem.errors import RestemError
from restem.policies.manifest import read_policy
from restem.stages.declaration import InputFile, InputFiles, OutputFile, stage


class Settings(Strict):
    """The addresses of the policy and of its completions, below the study's results."""

    policy: str
    draws: list[str]


@stage(lock="report")
def run(
    job: Job, settings: Settings, policy: InputFile, samples: InputFiles = (), *, output: OutputFile
) -> None:
    """Count what a policy cost to make, and all completions sampled from it.

    One row for the policy itself, and one for each address of completions. Raises RestemError
    when a table of samples is at no address of the settings.
    """
    tables: dict[str, list[Path]] = {name: [] for name in settings.draws}
    for path in samples:
        tables[_address(path, settings.draws)].append(path)
    parameters = read_policy(policy).parameters
    costs = {settings.policy: cost_of_policy(policy, parameters)}
    for name, paths in tables.items():
        costs[name] = total(cost_of_samples(path, parameters) for path in paths)
    rows = [{"name": name, **vars(cost)} for name, cost in costs.items()]
    write_table(output, "costs", table("costs", rows), job.provenance)
    print(
        f"costs: {settings.policy} and {len(tables)} addresses of completions",
        flush=True,
    )


def _address(path: Path, addresses: Sequence[str]) -> str:
    """Return the address that a shard is of: `<address>/samples/<shard>`."""
    folder = path.parent.parent.as_posix()
    for address in addresses:
        if folder == address or folder.endswith(f"/{address}"):
            return address
    raise RestemError(
        f"{path} holds no completions of this policy", "--samples", "give those of the settings"
    )
