"""Stage ledger: what every policy, variant and experiment cost."""

from restem.accounts.costs import Use, read_costs, sum_by_group
from restem.artifacts.files import write_text
from restem.artifacts.schemas.estimates import LEDGER
from restem.artifacts.store import Job
from restem.artifacts.tables import table, write_table
from restem.config.base import Strict
from restem.pages.ledger import markdown
from restem.stages.declaration import InputFiles, OutputFile, stage


class Settings(Strict):
    """What is used of which policies and completions, by scope and name; other names of names."""

    label: str
    groups: dict[str, dict[str, list[Use]]]
    aliases: dict[str, str]


@stage(lock="report")
def run(
    job: Job, settings: Settings, costs: InputFiles, *, output: OutputFile, page: OutputFile
) -> None:
    """Add up what every policy, variant and experiment cost."""
    counted = [cost for path in costs for cost in read_costs(path)]
    rows = sum_by_group(settings.groups, counted, settings.aliases)
    write_table(output, LEDGER, table(LEDGER, rows), job.provenance)
    write_text(page, markdown(rows, settings.label))
    print(f"ledger: {len(counted)} parts of policies and samples, {len(rows)} sums", flush=True)
