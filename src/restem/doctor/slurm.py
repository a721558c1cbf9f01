"""Ask SLURM for its partitions, their nodes and limits, and who may use them."""

import getpass
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from restem.deployment.cluster import query

ALL: Final = ("", "ALL", "(null)", "N/A")
_USABLE: Final = re.compile(r"(idle|mix|alloc|comp|resv|plnd|planned|maint)", re.IGNORECASE)
_GPUS: Final = re.compile(r"gpu(?::([A-Za-z][\w.-]*))?:(\d+)")
_NODES: Final = ("sinfo", "--noheader", "--exact", "--format=%R|%c|%m|%G|%f|%T|%D")


@dataclass(frozen=True)
class Nodes:
    """Nodes of a partition that are alike: CPUs, memory [MB], GPUs by type ("" for any)."""

    count: int
    cpus: int
    memory_mb: int
    gpus: Mapping[str, int]
    features: frozenset[str]


@dataclass(frozen=True)
class Partition:
    """A partition. minutes: its time limit, None for none. accounts, qos: who may use it, or all.

    nodes: those that are up.
    """

    name: str
    is_default: bool
    is_up: bool
    minutes: int | None
    accounts: tuple[str, ...] = ()
    qos: tuple[str, ...] = ()
    nodes: Sequence[Nodes] = field(default_factory=tuple)


def partitions() -> dict[str, Partition] | None:
    """Return the partitions by name; None if SLURM does not answer.

    Raises RestemError if there is no SLURM here.
    """
    listed = query("scontrol", "--oneliner", "show", "partition")
    nodes = query(*_NODES)
    return None if listed is None or nodes is None else read(listed, nodes)


def read(listed: str, nodes: str) -> dict[str, Partition]:
    """Read the answers of `scontrol --oneliner show partition` and of `sinfo`."""
    by_partition: dict[str, list[Nodes]] = {}
    for name, group in _nodes(nodes):
        by_partition.setdefault(name, []).append(group)
    found = {}
    for line in listed.splitlines():
        fields = dict(re.findall(r"(\w+)=(\S*)", line))
        if partition := fields.get("PartitionName"):
            found[partition] = Partition(
                name=partition,
                is_default=fields.get("Default") == "YES",
                is_up=fields.get("State", "UP") == "UP",
                minutes=minutes(fields.get("MaxTime", "")),
                accounts=_listed(fields.get("AllowAccounts", "")),
                qos=_listed(fields.get("AllowQos", "")),
                nodes=tuple(by_partition.get(partition, ())),
            )
    return found


def _listed(text: str) -> tuple[str, ...]:
    return () if text in ALL else tuple(text.split(","))


def _nodes(answer: str) -> Iterator[tuple[str, Nodes]]:
    for line in answer.splitlines():
        words = [word.strip() for word in line.split("|")]
        if len(words) != 7 or not _USABLE.match(words[5]):
            continue
        name, cpus, memory, gres, features, _, count = words
        gpus: dict[str, int] = {}
        for kind, number in _GPUS.findall(gres):
            gpus[kind] = gpus.get(kind, 0) + int(number)
        kinds = frozenset() if features in ALL else frozenset(features.split(","))
        yield name, Nodes(_first(count), _first(cpus), _first(memory), gpus, kinds)


def _first(text: str) -> int:
    """Read a number that SLURM may follow with a plus sign."""
    found = re.match(r"\d+", text)
    return int(found[0]) if found else 0


def minutes(limit: str) -> int | None:
    """Read a time limit such as 30, 1:00, 12:00:00, 7-00:00:00; None for no limit."""
    found = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", limit)
    if not found:
        return None
    days, first, second, third = (int(part or 0) for part in found.groups())
    if found[1] or found[4]:  # hours:minutes:seconds
        return 1440 * days + 60 * first + second + (third > 0)
    return first + (second > 0)  # minutes:seconds


def accounts_of_user() -> list[str] | None:
    """List the accounts of the user; None if SLURM has no accounting."""
    user = f"user={getpass.getuser()}"
    options = ("--noheader", "--parsable2", "format=account")
    answer = query("sacctmgr", "show", "associations", user, *options, missing_ok=True)
    names = sorted(set((answer or "").split()))
    return names or None
