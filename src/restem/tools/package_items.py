"""What the jobs of a study need installed: packages of `.venv`, wheels, and container images."""

import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

from restem.deployment import needs, wheels
from restem.deployment.environments import DISTINCTIVE_PACKAGES, PIN, different
from restem.deployment.images import Image, build, verified
from restem.deployment.profile import Profile
from restem.errors import RestemError
from restem.study.graph import StudyGraph

OF_VENV = ("workflow", "data", "model", "training", "report")  # RUN_LOCKS of the Makefile


@dataclass
class PackagesItem:
    """The packages of a lock that only some studies need, in this environment."""

    place: str
    lock: Path
    users: list[str]
    name: str = ""
    rows: None = None
    is_of_hub: bool = False

    def path(self, local_only: bool = True) -> Path:
        """Return the lock. Raises RestemError if its packages are not installed."""
        if wrong := list(different(self.lock.read_text())):
            raise RestemError(
                f"not installed as pinned: {', '.join(wrong)}",
                str(self.lock),
                f"make {self.lock.stem}",
            )
        return self.lock

    def size(self) -> int:
        """Return the size of what is installed, in bytes."""
        self.path()
        packages = (distribution(name) for name, _ in PIN.findall(self.lock.read_text()))
        files = (Path(str(file.locate())) for one in packages for file in one.files or ())
        return sum(file.stat().st_size for file in files if file.is_file())

    def size_elsewhere(self) -> None:
        """Return None: it is not known."""

    def check(self) -> Iterator[str]:
        """Compare what is installed with the lock."""
        self.path()
        yield "as pinned"


@dataclass
class WheelsItem:
    """The wheels of a lock, in a folder. pins: those that no lock before it has."""

    place: str
    name: str
    folder: Path
    pins: Sequence[str]
    python: str
    users: list[str]
    rows: None = None
    is_of_hub: bool = False

    def path(self, local_only: bool = True) -> Path:
        """Return the folder. Raises RestemError if a wheel is not here or cannot be collected."""
        missing = [pin for pin, wheel in wheels.find(self.pins, self.folder).items() if not wheel]
        if missing and not local_only:
            wheels.collect(missing, self.folder, self.python)
        elif missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise RestemError(
                f"the wheel of {missing[0]}{more} is not here",
                str(self.folder),
                "restem data fetch, with the same options",
            )
        return self.folder

    def size(self) -> int:
        """Return their size in bytes, if they are here."""
        return sum(wheel.stat().st_size for wheel in self._files())

    def size_elsewhere(self) -> int | None:
        """Return the size of what is missing, None where it is not listed."""
        found = wheels.find(self.pins, self.folder)
        return wheels.size([pin for pin, wheel in found.items() if not wheel], self.python)

    def check(self) -> Iterator[str]:
        """Read them. Raises RestemError if one is damaged, or not the one that was locked."""
        for wheel in self._files():
            damaged = _damaged(wheel) or ("the digest" if wheels.altered([wheel]) else None)
            if damaged:
                raise RestemError(f"{damaged} is wrong in {wheel.name}", str(wheel), "delete it")
        yield f"{self.name} ({len(self.pins)}): readable, as locked"

    def _files(self) -> list[Path]:
        return [wheel for wheel in wheels.find(self.pins, self.folder).values() if wheel]


def _damaged(wheel: Path) -> str | None:
    """Return a file of a wheel that cannot be read, if there is one."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            return archive.testzip()
    except (zipfile.BadZipFile, OSError) as problem:
        return str(problem)


@dataclass
class ImageItem:
    """A container image. wheels: folder with those that it installs; None to collect them."""

    place: str
    name: str
    image: Image
    wheels: Path | None
    users: list[str]
    rows: None = None
    is_of_hub: bool = False

    def path(self, local_only: bool = True) -> Path:
        """Return where it is. Raises RestemError if it is not built or cannot be built."""
        if not local_only and not (self.image.path.is_file() and self.image.record.is_file()):
            build(self.image, None, self.wheels)
        verified(self.image)
        return self.image.path

    def size(self) -> int:
        """Return its size in bytes, if it is here."""
        return self.path().stat().st_size

    def size_elsewhere(self) -> int | None:
        """Return the size of the wheels that it installs, which is about its own size."""
        pins = {pin for lock in self.image.locks for pin in wheels.pins(lock)}
        return wheels.size(sorted(pins), self.image.python)

    def check(self) -> Iterator[str]:
        """Compare its content with its record."""
        yield f"sha256 {verified(self.image, read=True)}"


def package_items(
    graph: StudyGraph, profile: Profile | None, folder: Path | None, root: Path = Path()
) -> list[PackagesItem | WheelsItem | ImageItem]:
    """List what the jobs of a study need installed.

    profile: that of the run; if jobs run in images, those count. folder: for wheels, each
    environment and image has a folder of its own below it, because one version of torch has builds
    for CPUs and for CUDA. root: of the clone.
    """
    own = [
        PackagesItem(f"packages of {lock}", lock, list(each.users))
        for each in needs.own_locks(graph.study, root)
        for lock in (root / needs.LOCKS / f"{each.family}.txt",)
    ]
    contained = profile is not None and profile.is_contained
    images = needs.images(graph, root) if contained else []
    collected = list(_wheels(graph, images, folder, root)) if folder else []
    built = [
        ImageItem(
            f"image {image.name}",
            image.path.name,
            image,
            folder / image.name if folder else None,
            [lock.stem for lock in image.locks],
        )
        for image in images
    ]
    return [*own, *collected, *built]


def _wheels(
    graph: StudyGraph, images: list[Image], folder: Path, root: Path
) -> Iterator[WheelsItem]:
    """Yield the wheels of the environments that Snakemake and jobs run in, and of the images."""
    own = [lock.family for lock in needs.own_locks(graph.study, root)]
    stages = needs.stage_locks(graph)
    apart = [family for family in stages if family in DISTINCTIVE_PACKAGES]
    together = [family for family in stages if family not in apart]
    yield from _of_folder(folder / "venv", (*OF_VENV, *together, *own), wheels.HERE, root)
    for family in [] if images else apart:  # with pytest, which make installs there
        yield from _of_folder(folder / f"venv-{family}", (family, "dev"), wheels.HERE, root)
    for image in images:
        locks = [lock.stem for lock in image.locks]
        yield from _of_folder(folder / image.name, locks, image.python, root)


def _of_folder(folder: Path, locks: Sequence[str], python: str, root: Path) -> Iterator[WheelsItem]:
    known: set[str] = set()
    for lock in dict.fromkeys(locks):
        pins = [p for p in wheels.pins(root / needs.LOCKS / f"{lock}.txt") if p not in known]
        known.update(pins)
        if pins:
            yield WheelsItem(f"wheels in {folder}", lock, folder, pins, python, [lock])
