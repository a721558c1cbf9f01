"""Show completions with verdicts and decisions, or what there is to choose from."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import pyarrow.parquet as pq

from restem.artifacts.tables import read_provenance
from restem.errors import RestemError
from restem.pages.document import Document, Section, terminal, visible
from restem.tools.completions import NOT_JUDGED, Filters, Shard, chosen_shards, find, shards_of
from restem.tools.rows import row_lines


def browse(results: Path, filters: Filters, limit: int) -> Iterator[str]:
    """Yield the text of the completions that fit, or of what there is to choose from.

    Raises RestemError if the study has no completions, or none with these values.
    """
    shards = list(shards_of(results))
    if not shards:
        raise RestemError(
            "there are no completions", str(results), "name a folder results/<study> that has run"
        )
    if filters.are_empty:
        yield terminal(_choices(results, shards)) + "\n"
        return
    chosen = list(chosen_shards(shards, filters))
    found = find(results, chosen, filters)
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


def _verdicts(shard: Shard) -> Counter[str]:
    if not shard.rewards.is_file():
        return Counter({NOT_JUDGED: _count([shard])})
    counts = pq.read_table(shard.rewards, columns=["verdict"], partitioning=None)["verdict"]
    return Counter({row["values"]: row["counts"] for row in counts.value_counts().to_pylist()})


def _in_words(counts: Mapping[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count} {name}" for name, count in ordered)


def _count(shards: Sequence[Shard]) -> int:
    return sum(int(pq.read_metadata(shard.path).num_rows) for shard in shards)
