"""Stage ledger: what every policy, variant and experiment cost."""

from collections.abc import Sequence
from pathlib import Path

from restem.artifacts import Job, write_text
from restem.config.strict import Strict
from restem.ledger import Cost, cost_of_policy, cost_of_samples, parameters_of, sums
from restem.policies import read_policy
from restem.report.ledger import markdown
from restem.tables import table, write_table


class Settings(Strict):
    """Which artifacts belong to which use, by scope and name; paths below the study's results."""

    note: str
    samples: list[list[str]]
    policies: list[str]
    groups: dict[str, dict[str, list[str]]]


def run(
    job: Job, policies: Sequence[Path], samples: Sequence[Path], output: Path, page: Path
) -> None:
    """Write the sums as a table and as Markdown.

    The settings name, in the order of the inputs, every samples table with its policy and every
    policy.
    """
    settings = Settings.model_validate(job.recipe.settings)
    paths = dict(zip(settings.policies, policies, strict=True))
    parameters = {name: parameters_of(read_policy(path)) for name, path in paths.items()}
    costs: dict[str, Cost] = {
        name: cost_of_policy(path, parameters[name]) for name, path in paths.items()
    }
    for (name, policy), path in zip(settings.samples, samples, strict=True):
        costs[name] = cost_of_samples(path, parameters[policy])
    rows = sums(settings.groups, costs)
    write_table(output, "ledger", table("ledger", rows), job.provenance)
    write_text(page, markdown(rows, settings.note))
    print(f"ledger: {len(costs)} artifacts, {len(rows)} sums", flush=True)
