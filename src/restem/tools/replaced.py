"""Say which numbers of the present tables a run will replace, and how to keep them."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any, Final

from restem.artifacts.schemas.estimates import SUMMARY
from restem.artifacts.seals import read_seal
from restem.artifacts.tables import read_rows
from restem.errors import RestemError
from restem.statistics.aliases import repeat
from restem.tools.dry_run import PlannedJob

_POLICIES: Final = 6  # that are named
_NUMBERS: Final = 3  # of each
_ADDRESS: Final = ("task", "split", "model", "variant", "iteration", "decoding")

Address = Mapping[str, Any]


def replaced(planned: Sequence[PlannedJob]) -> Iterator[str]:
    """Yield what a person should know before present results are made again.

    Nothing is said of what has not been made yet. A job that makes the same bytes replaces nothing,
    which cannot be known before it runs.
    """
    jobs: dict[Path, list[tuple[PlannedJob, Address]]] = defaultdict(list)
    for job in planned:
        seal = read_seal(Path(job.output)) if job.stage in ("policy", "metrics") else None
        if seal:
            jobs[Path(*Path(job.output).parts[:2])].append((job, seal["settings"]))
    for results, of_study in jobs.items():
        policies = sum(job.stage == "policy" for job, _ in of_study)
        evaluated = [address for job, address in of_study if job.stage == "metrics"]
        yield from _in_words(results, policies, _numbers(results, evaluated))


def _numbers(results: Path, evaluated: Sequence[Address]) -> list[str]:
    """Return the present estimates of the policies whose evaluations are made again, by policy."""
    try:
        rows = read_rows(results / "summary.parquet", SUMMARY)
    except RestemError:
        return []  # there are none, or a damaged table, which the run makes again
    seal = read_seal(results / "summary.parquet")
    aliases = seal["settings"]["aliases"] if seal else ()
    places = {_place(address) for address in repeat(aliases, [dict(a) for a in evaluated])}
    numbers: dict[str, list[str]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row["split"] != "test"):  # those of table.md first
        is_first = row["quantity"] in ("accuracy", "pass@1")
        if row["seed"] is None and is_first and _place(row) in places:
            name = f"{row['model']}/{row['variant']}/{row['iteration']}"
            value = "halted" if row["estimate"] is None else f"{100 * row['estimate']:.1f} %"
            numbers[name].append(f"{row['task']} {row['split']} {row['decoding']} {value}")
    return [f"{name} ({_listed(of_name)})" for name, of_name in numbers.items()]


def _place(address: Address) -> tuple[Any, ...]:
    return tuple(address[name] for name in _ADDRESS)


def _in_words(results: Path, policies: int, numbers: Sequence[str]) -> Iterator[str]:
    if policies:
        yield f"It makes {policies} {'policy' if policies == 1 else 'policies'} again."
    if numbers:
        bundle = _unused(f"{results.name}-before")
        yield f"It may replace these numbers of {results}:"
        yield from (f"  {text}" for text in numbers[:_POLICIES])
        if (more := len(numbers) - _POLICIES) > 0:
            yield f"  and those of {more} more policies"
        yield f"To keep them: restem archive {results} --output {bundle}"
        yield f"and after the run: restem compare {bundle} {results}"


def _unused(name: str) -> str:
    """Return the name of an archive that does not exist yet: earlier ones are not written over."""
    names = (f"{name}{f'-{number}' * (number > 1)}.tar.gz" for number in count(1))
    return next(archive for archive in names if not Path(archive).exists())


def _listed(texts: Sequence[str]) -> str:
    more = len(texts) - _NUMBERS
    return ", ".join(texts[:_NUMBERS]) + f" and {more} more" * (more > 0)
