"""Find completions, and join them with problems, verdicts and decisions.

Completions are read some at a time, so that tables of any size can be looked at. Verdicts come from
the table of rewards beside the samples, decisions from the examples of every policy whose selection
read them, which the seals tell.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from restem.artifacts.seals import HIDDEN, seals
from restem.artifacts.tables import read_provenance
from restem.errors import RestemError

NOT_JUDGED: Final = "not judged"
_BATCH: Final = 1024  # completions in memory
_BUFFER: Final = 1 << 20  # bytes of a file that are read at once
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


def shards_of(results: Path) -> Iterator[Shard]:
    """Yield all tables of samples of a study."""
    for path in sorted(results.glob("*/*/*/*/*/*/*/*/*/samples/*.parquet")):
        parts = path.relative_to(results).parts
        if HIDDEN not in parts:
            yield Shard(path, "/".join(parts[:_POLICY]), *parts[_POLICY : _POLICY + 3])


def chosen_shards(shards: Sequence[Shard], filters: Filters) -> Iterator[Shard]:
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


def find(results: Path, shards: Sequence[Shard], filters: Filters) -> Iterator[Row]:
    """Yield the completions of some shards that fit, with problem, verdict and decisions.

    examples: what the selection of each policy decided, one a line.
    """
    selections = _selections(results)
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
            for rows in _batches(shard, filters, keys):
                for start in range(0, len(rows), _LOOKED_UP):
                    part = rows[start : start + _LOOKED_UP]
                    yield from _joined(results, shard, readers, part)


def _keys(shard: Shard, readers: Sequence[Selection], filters: Filters) -> set[Key] | None:
    """Return problem and draw of what has the verdict and decision; None if any will do."""
    conditions: list[set[Key]] = []
    of_problem = {} if filters.problem is None else {"problem_id": filters.problem}
    if filters.verdict is not None and (filters.verdict != NOT_JUDGED or shard.rewards.is_file()):
        rows = _table(shard.rewards, _KEY, verdict=filters.verdict, **of_problem)
        conditions.append(set(_keys_in(rows)))
    if filters.decision is not None or filters.trained is not None:
        wanted = of_problem | ({"decision": filters.decision} if filters.decision else {})
        decided = (_table(r.path, _KEY, source=r.source, **wanted) for r in readers)
        conditions.append({key for rows in decided for key in _keys_in(rows)})
    return set.intersection(*conditions) if conditions else None


def _keys_in(rows: Any) -> Iterator[Key]:
    return zip(*(rows[name].to_pylist() for name in _KEY), strict=True)


def _batches(shard: Shard, filters: Filters, keys: set[Key] | None) -> Iterator[list[Row]]:
    """Yield the rows that fit, of some rows at a time; no more of the file is in memory."""
    with pq.ParquetFile(shard.path, buffer_size=_BUFFER, pre_buffer=False) as file:
        for batch in file.iter_batches(_BATCH, columns=list(_SHOWN)):
            if filters.problem is not None:
                batch = batch.filter(pc.equal(batch["problem_id"], filters.problem))
            if filters.search is not None:
                found = pc.match_substring(batch["completion"], filters.search, ignore_case=True)
                batch = batch.filter(found)
            if keys is not None:
                batch = batch.filter(pa.array([key in keys for key in _keys_in(batch)], pa.bool_()))
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
    rows: list[Row] = _table(path, columns, **values).to_pylist()
    return rows


def _table(path: Path, columns: Sequence[str], **values: str | list[str]) -> pa.Table:
    """Read some columns of the rows that have some values; nothing where there is no table."""
    if not path.is_file():
        return pa.table({name: [] for name in columns})
    conditions = (
        ds.field(name).isin([value] if isinstance(value, str) else value)
        for name, value in values.items()
    )
    condition = reduce(lambda a, b: a & b, conditions)
    return ds.dataset(path, format="parquet").to_table(list(columns), filter=condition)


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
