"""Look at completions: by policy, split, decoding, problem, verdict, decision and text.

Only the columns and rows that are shown stay in memory. Verdicts come from the table of rewards
beside the samples, decisions from the examples of every policy whose selection read them, which the
seals tell.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import islice
from pathlib import Path
from typing import Any, Final

import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from restem.artifacts.seals import HIDDEN, seals
from restem.artifacts.tables import read_provenance
from restem.errors import RestemError
from restem.pages.document import Document, Section, terminal, visible
from restem.tools.rows import row_lines

NOT_JUDGED: Final = "not judged"
_BATCH: Final = 1024  # completions in memory
_LOOKED_UP: Final = 20  # completions whose problems, verdicts and decisions are read at once
_POLICY: Final = 5  # parts of a policy's address
_NAMED: Final = 20  # values that a message lists
_KEY: Final = ("problem_id", "draw")
_SHOWN: Final = ("problem_id", "draw", "tokens", "finish_reason", "completion")
_JUDGED: Final = ("verdict", "extracted", "layer", "detail")

Key = tuple[str, int]
Row = dict[str, Any]


@dataclass(frozen=True)
class Filters:
    """Which completions to show; None for any.

    policy: parts of the address of who sampled them, such as S/rest-em/seed-0/iter-1; trained: of a
    policy whose selection read them. search: a text in the completion, in any case of letters.
    """

    policy: str | None = None
    task: str | None = None
    split: str | None = None
    decoding: str | None = None
    problem: str | None = None
    verdict: str | None = None
    trained: str | None = None
    decision: str | None = None
    search: str | None = None

    @property
    def are_empty(self) -> bool:
        """Tell whether nothing is asked for."""
        return all(value is None for value in vars(self).values())


@dataclass(frozen=True)
class Shard:
    """One table of samples and its address. policy: of who sampled it."""

    path: Path
    policy: str
    task: str
    split: str
    decoding: str

    @property
    def rewards(self) -> Path:
        """Return the path of the verdicts."""
        return self.path.parent.parent / "rewards" / self.path.name


@dataclass(frozen=True)
class Selection:
    """The examples of a policy that read a shard, as those of a source."""

    policy: str
    path: Path
    source: str


def browse(results: Path, filters: Filters, limit: int) -> Iterator[str]:
    """Yield the text of the completions that fit, or of what there is to choose from.

    Raises RestemError if the study has no completions, or none with these values.
    """
    shards = list(_shards(results))
    if not shards:
        raise RestemError(
            "there are no completions", str(results), "name a folder results/<study> that has run"
        )
    if filters.are_empty:
        yield terminal(_choices(results, shards)) + "\n"
        return
    selections = _selections(results)
    chosen = list(_chosen(shards, filters))
    found = _found(results, chosen, selections, filters)
    shown = 0
    for row in islice(found, limit):
        shown += 1
        yield visible("\n".join(row_lines(row))) + "\n\n"
    if not shown:
        yield (
            f"No completion fits, of {_count(chosen)} that were looked at. "
            "Without options, restem browse lists what there is.\n"
        )
    elif next(found, None) is not None:
        yield f"{shown} are shown, and there are more: give a larger --limit, or more options.\n"


def _shards(results: Path) -> Iterator[Shard]:
    for path in sorted(results.glob("*/*/*/*/*/*/*/*/*/samples/*.parquet")):
        parts = path.relative_to(results).parts
        if HIDDEN not in parts:
            yield Shard(path, "/".join(parts[:_POLICY]), *parts[_POLICY : _POLICY + 3])


def _chosen(shards: Sequence[Shard], filters: Filters) -> Iterator[Shard]:
    """Yield the shards at an address. Raises RestemError if there are none, with what there is."""
    tests: dict[str, Callable[[Shard, str], bool]] = {
        "policy": lambda shard, value: _is_in(value, shard.policy),
        "task": lambda shard, value: shard.task == value,
        "split": lambda shard, value: shard.split == value,
        "decoding": lambda shard, value: value in (shard.decoding, shard.decoding.split("+")[0]),
    }
    left = list(shards)
    for name, fits in tests.items():
        value = getattr(filters, name)
        before = left
        left = [shard for shard in before if value is None or fits(shard, value)]
        if not left:
            _refuse(name, value, (getattr(shard, name) for shard in before))
    yield from left


def _is_in(parts: str, policy: str) -> bool:
    return f"/{parts.strip('/')}/" in f"/{policy}/"


def _refuse(name: str, value: str, others: Iterator[str]) -> None:
    there = list(dict.fromkeys(others))
    more = f" and {len(there) - _NAMED} more" * (len(there) > _NAMED)
    raise RestemError(
        f"no completion has this {name}",
        f"--{name} {value}",
        f"name one of {', '.join(there[:_NAMED])}{more}",
    )


def _found(
    results: Path,
    shards: Sequence[Shard],
    selections: Mapping[str, Sequence[Selection]],
    filters: Filters,
) -> Iterator[Row]:
    """Yield the rows that fit, with verdicts and decisions."""
    for shard in shards:
        readers = [
            reader
            for reader in selections.get(str(read_provenance(shard.path)["content"]), ())
            if filters.trained is None or _is_in(filters.trained, reader.policy)
        ]
        if (filters.trained or filters.decision) and not readers:
            continue
        keys = _keys(shard, readers, filters)
        if keys is None or keys:
            for rows in _batches(shard, filters):
                fitting = [row for row in rows if keys is None or _key(row) in keys]
                for start in range(0, len(fitting), _LOOKED_UP):
                    part = fitting[start : start + _LOOKED_UP]
                    yield from _joined(results, shard, readers, part)


def _keys(shard: Shard, readers: Sequence[Selection], filters: Filters) -> set[Key] | None:
    """Return problem and draw of what has the verdict and decision; None if any will do."""
    conditions: list[set[Key]] = []
    of_problem = {} if filters.problem is None else {"problem_id": filters.problem}
    if filters.verdict is not None and (filters.verdict != NOT_JUDGED or shard.rewards.is_file()):
        rows = _read(shard.rewards, _KEY, verdict=filters.verdict, **of_problem)
        conditions.append({_key(row) for row in rows})
    if filters.decision is not None or filters.trained is not None:
        wanted = of_problem | ({"decision": filters.decision} if filters.decision else {})
        decided = (_read(r.path, _KEY, source=r.source, **wanted) for r in readers)
        conditions.append({_key(row) for rows in decided for row in rows})
    return set.intersection(*conditions) if conditions else None


def _batches(shard: Shard, filters: Filters) -> Iterator[list[Row]]:
    conditions = []
    if filters.problem is not None:
        conditions.append(ds.field("problem_id") == filters.problem)
    if filters.search is not None:
        text = ds.field("completion")
        conditions.append(pc.match_substring(text, filters.search, ignore_case=True))
    scanner = ds.dataset(shard.path, format="parquet").to_batches(
        columns=list(_SHOWN),
        filter=_all(conditions),
        batch_size=_BATCH,
        batch_readahead=1,
        fragment_readahead=1,
    )
    for batch in scanner:
        yield batch.to_pylist()


def _joined(
    results: Path, shard: Shard, readers: Sequence[Selection], rows: Sequence[Row]
) -> Iterator[Row]:
    """Add the problem, the verdict and all decisions to completions."""
    ids = list(dict.fromkeys(row["problem_id"] for row in rows))
    problems = results / shard.task / "problems" / f"{shard.split}.parquet"
    asked = {row["id"]: row for row in _read(problems, ("id", "question", "answer"), id=ids)}
    judged = {_key(r): r for r in _read(shard.rewards, (*_KEY, *_JUDGED), problem_id=ids)}
    said: dict[Key, list[str]] = defaultdict(list)
    for reader in readers:
        columns = (*_KEY, "decision", "weight")
        for row in _read(reader.path, columns, source=reader.source, problem_id=ids):
            weight = f", weight {row['weight']:g}" if row["weight"] else ""
            said[_key(row)].append(f"{reader.policy}: {row['decision']}{weight}")
    for row in rows:
        problem, key = asked.get(row["problem_id"], {}), _key(row)
        yield {
            **_address(shard),
            **{name: row[name] for name in _SHOWN if name != "completion"},
            **judged.get(key, {"verdict": NOT_JUDGED}),
            "gold": problem.get("answer"),
            "question": problem.get("question"),
            "completion": row["completion"],
            "examples": "\n".join(said[key]),
        }


def _address(shard: Shard) -> Row:
    names = ("policy", "task", "split", "decoding")
    return {name: getattr(shard, name) for name in names}


def _key(row: Mapping[str, Any]) -> Key:
    return row["problem_id"], row["draw"]


def _read(path: Path, columns: Sequence[str], **values: str | list[str]) -> list[Row]:
    """Read some columns of the rows that have some values; nothing where there is no table."""
    if not path.is_file():
        return []
    conditions = [
        ds.field(name).isin([value] if isinstance(value, str) else value)
        for name, value in values.items()
    ]
    scanned = ds.dataset(path, format="parquet")
    rows: list[Row] = scanned.to_table(list(columns), filter=_all(conditions)).to_pylist()
    return rows


def _all(conditions: Sequence[Any]) -> Any:
    return reduce(lambda a, b: a & b, conditions) if conditions else None


def _selections(results: Path) -> dict[str, list[Selection]]:
    """List by content of a table of samples the examples that were selected from it."""
    readers: dict[str, list[Selection]] = defaultdict(list)
    for path, seal in seals(results):
        if seal["stage"] != "examples" or not path.is_file():
            continue
        sources = seal["settings"].get("sources", [["model", 0]])
        samples = seal["inputs"].get("samples", [])
        shards = len(samples) // max(len(sources), 1)  # of each source, one source after another
        for place, content in enumerate(samples):
            name, age = sources[place // shards]
            source = f"{name}:{age}" if age else name
            policy = str(path.parent.relative_to(results))
            readers[content].append(Selection(policy, path, source))
    return readers


def _choices(results: Path, shards: Sequence[Shard]) -> Document:
    """List what can be chosen, with counts."""
    by_address: dict[tuple[str, ...], list[Shard]] = defaultdict(list)
    for shard in shards:
        by_address[shard.policy, shard.task, shard.split, shard.decoding].append(shard)
    rows = []
    for address, of_address in by_address.items():
        verdicts = sum((_verdicts(shard) for shard in of_address), Counter[str]())
        count = str(_count(of_address))
        rows.append([*address, count, _in_words(verdicts)])
    headers = ("policy", "task", "split", "decoding", "completions", "verdict")
    sampled = Section("Completions", (), headers, "llllrl", rows)
    decided = [
        [str(path.parent.relative_to(results)), _in_words(read_provenance(path).get("counts", {}))]
        for path in sorted(results.glob("*/*/*/*/*/examples.parquet"))
    ]
    examples = Section("Examples", (), ("trained", "decision"), "ll", decided)
    hint = "Choose by --policy, --task, --split, --decoding, --verdict, --trained, --decision, "
    return Document(
        f"Completions in {results}",
        [Section("Options", [hint + "--problem and --search."]), sampled, examples],
    )


def _count(shards: Sequence[Shard]) -> int:
    return sum(int(pq.read_metadata(shard.path).num_rows) for shard in shards)


def _verdicts(shard: Shard) -> Counter[str]:
    if not shard.rewards.is_file():
        return Counter({NOT_JUDGED: _count([shard])})
    counts = pq.read_table(shard.rewards, columns=["verdict"], partitioning=None)["verdict"]
    return Counter({row["values"]: row["counts"] for row in counts.value_counts().to_pylist()})


def _in_words(counts: Mapping[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count} {name}" for name, count in ordered)
