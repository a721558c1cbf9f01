"""Build container images, and verify them before use.

The file name of an image ends in a digest of its definition and of the lock files that it installs,
so that a changed lock file requires a new image. A record of its content lies beside it. Images
hold only the locked packages; jobs run the code of the checkout.
"""

import getpass
import json
import os
import re
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from restem.artifacts.digests import digest, file_digest, lock_digest
from restem.artifacts.files import read_json, write_json
from restem.artifacts.sharing import STORE
from restem.deployment.wheels import altered, collect, pins
from restem.errors import RestemError

FOLDER = Path("containers")
LOCKS = re.compile(r"-r envs/([\w-]+\.txt)")
CUDA_LOCKS = ("cuda.txt", "vllm.txt")  # images that install them hold torch's CUDA build
PYTHON = re.compile(r"restem\.python (\S+)")  # its label
HEADER = re.compile(r"^(?:\w+: .*\n)+", re.MULTILINE)  # of a definition: its base image
DEBIAN = """Bootstrap: debootstrap
OSVersion: bookworm
MirrorURL: {{ MIRROR }}
Include: bash ca-certificates

%arguments
    MIRROR=file:///give-a-mirror
"""
OF_JOBS = ("APPTAINER_FAKEROOT", "APPTAINER_NV", "APPTAINER_BIND")
CACHES = ("HF_HOME", "HF_HUB_CACHE", "HF_DATASETS_CACHE", "RESTEM_CACHE")
COMPRESSION = ("--mksquashfs-args", "-comp zstd -Xcompression-level 3")


@dataclass(frozen=True)
class Image:
    """A container image: a definition in `containers/` that installs locks from `envs/`.

    root: of the clone. additions: names of further locks that it installs.
    """

    name: str
    root: Path
    additions: tuple[str, ...] = ()

    @property
    def definition(self) -> Path:
        """Return the definition file. Raises RestemError when there is none."""
        path = self.root / FOLDER / f"{self.name}.def"
        if not path.is_file():
            names = sorted(p.stem for p in path.parent.glob("*.def"))
            raise RestemError(
                f"there is no image {self.name!r}", str(path), f"use one of: {', '.join(names)}"
            )
        return path

    @property
    def text(self) -> str:
        """Return the text of the definition, which installs the additions too."""
        text = self.definition.read_text()
        added = [f"{name}.txt" for name in self.additions]
        more = "".join(f" -r envs/{name}" for name in added if name not in LOCKS.findall(text))
        return LOCKS.sub(lambda first: first[0] + more, text, count=1)

    @property
    def locks(self) -> list[Path]:
        """List the lock files that it installs. Raises RestemError when one does not exist."""
        paths = [self.root / "envs" / name for name in LOCKS.findall(self.text)]
        for path in paths:
            if not path.is_file():
                names = ", ".join(sorted(p.stem for p in path.parent.glob("*.txt")))
                raise RestemError("there is no such lock", str(path), f"use one of: {names}")
        return paths

    @property
    def command(self) -> str:
        """Return the command that builds it."""
        return " ".join(
            ["restem images build", self.name, *(f"--with {n}" for n in self.additions)]
        )

    @property
    def python(self) -> str:
        """Return the version of its Python, such as 3.11."""
        return "".join(PYTHON.findall(self.definition.read_text())[:1])

    @property
    def path(self) -> Path:
        """Return the path of the built image."""
        lines = self.text.splitlines()
        definition = [line.rstrip() for line in lines if not line.startswith("#")]
        content = digest([definition, *(lock_digest(lock) for lock in self.locks)])
        return self.root / FOLDER / f"{self.name}-{content[:12]}.sif"

    @property
    def record(self) -> Path:
        """Return the path of the record of the image's content."""
        return self.path.with_suffix(".json")


def verified(image: Image, read: bool = False) -> str:
    """Return the sha256 of an image after comparing it with its record.

    The content is read only when size or time differ from the record, or if `read` says so. Raises
    RestemError when the image is missing or is not what was built.
    """
    path = image.path
    if not (path.is_file() and image.record.is_file()):
        raise RestemError(
            "the image is not built",
            str(path),
            f"build it: {image.command}",
        )
    record = read_json(image.record)
    seen = [path.stat().st_size, path.stat().st_mtime_ns]
    if (read or seen != record["seen"]) and file_digest(path) != record["sha256"]:
        raise RestemError(
            "the image is not what was built", str(path), "delete it, then build it again"
        )
    return str(record["sha256"])


def build(image: Image, mirror: str | None, wheels: Path | None, from_debian: bool = False) -> None:
    """Build an image from its definition, run its tests, and record its content.

    mirror: Debian mirror for images that are bootstrapped from it; by default that of this
    machine's apt. wheels: folder with the wheels of the locks; by default pip collects them.
    from_debian: use Debian from the mirror as the base image instead of the definition's own.
    """
    definition = image.text
    if from_debian and "debootstrap" not in definition:
        definition = HEADER.sub(DEBIAN, definition, count=1)
    _check_tools("debootstrap" in definition)
    for name in OF_JOBS:  # in a run in containers, they are set; a build has options of its own
        os.environ.pop(name, None)
    with tempfile.TemporaryDirectory(dir=image.path.parent, prefix=".build-") as folder:
        if wheels is None:
            wheels = Path(folder) / "wheels"
            collect([line for lock in image.locks for line in pins(lock)], wheels, image.python)
        _check_wheels(wheels)
        _check_torch(image, wheels)
        options = ["--fakeroot", *COMPRESSION, "--bind", f"{wheels.resolve()}:/mnt"]
        if "{{ MIRROR }}" in definition:
            options += ["--build-arg", f"MIRROR={mirror or _debian_mirror()}"]
        source, built = Path(folder) / f"{image.name}.def", Path(folder) / "image.sif"
        source.write_text(definition)
        _spython().build(
            recipe=str(source), image=str(built), sudo=False, options=options, quiet=False
        )
        if not built.is_file():
            raise RestemError(
                "apptainer did not build the image",
                str(image.definition),
                "read what it printed above",
            )
        built.replace(image.path)
    _write_record(image, definition)


def _write_record(image: Image, definition: str) -> None:
    path, header = image.path, HEADER.search(definition)
    content = {
        "image": image.name,
        "base": header[0].split("\n")[:2] if header else [],
        "sha256": file_digest(path),
        "seen": [path.stat().st_size, path.stat().st_mtime_ns],
        "labels": labels(path),
        "locks": {lock.name: lock_digest(lock) for lock in image.locks},
    }
    write_json(image.record, content)


def labels(path: Path) -> dict[str, Any]:
    """Return the labels of a built image."""
    answer = _spython().inspect(str(path), json=True, quiet=True)
    attributes = (json.loads(answer) if isinstance(answer, str) else answer).get("attributes", {})
    return dict(attributes.get("labels") or {})


def _spython() -> Any:
    """Return the client that calls apptainer. Raises RestemError when apptainer is missing."""
    if not shutil.which("singularity"):
        raise RestemError(
            "apptainer is missing (spython calls it as `singularity`)",
            "PATH",
            "load your site's module, or install it: containers/install-apptainer.sh on Debian 12",
        )
    from spython.main import Client

    return Client


def _check_tools(bootstraps: bool) -> None:
    """Raise RestemError when something that a build needs is missing."""
    _spython()
    user = getpass.getuser()
    if not any(line.startswith((f"{user}:", f"{os.getuid()}:")) for line in _subuids()):
        raise RestemError(
            f"fakeroot is not possible: {user} has no range of user ids",
            "/etc/subuid",
            f"ask the administrator for `apptainer config fakeroot --add {user}`, or build "
            "elsewhere and copy the image with its record",
        )
    if bootstraps and not shutil.which("debootstrap"):
        raise RestemError("debootstrap is missing", "PATH", "apt-get install debootstrap")


def _subuids() -> list[str]:
    path = Path("/etc/subuid")
    return path.read_text().splitlines() if path.is_file() else []


def _check_wheels(folder: Path) -> None:
    """Refuse wheels with other digests than envs/files.tsv lists."""
    if wrong := altered(folder.glob("*.whl")):
        raise RestemError(
            f"{', '.join(wheel.name for wheel in wrong)}: not the digest in envs/files.tsv",
            str(folder),
            "delete what is damaged, then collect it again",
        )


def _check_torch(image: Image, wheels: Path) -> None:
    """Refuse the wrong build of torch: each version has several, and the index decides which."""
    for wheel in wheels.glob("torch-*.whl"):
        try:
            with zipfile.ZipFile(wheel) as archive:
                [name] = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
                metadata = archive.read(name).decode()
        except (zipfile.BadZipFile, ValueError) as problem:
            raise RestemError(
                f"the wheel cannot be read: {problem}", str(wheel), "collect the wheels again"
            ) from problem
        is_cuda = "Requires-Dist: nvidia-" in metadata
        if is_cuda != any(lock.name in CUDA_LOCKS for lock in image.locks):
            build = "CPU" if is_cuda else "CUDA"
            raise RestemError(
                f"{wheel.name} is not torch's {build} build, which the image {image.name} needs",
                str(wheels),
                f"point pip to an index that has torch's {build} build (PIP_INDEX_URL, "
                "PIP_EXTRA_INDEX_URL), or give --wheels",
            )


def _debian_mirror() -> str:
    """Return the mirror that this machine's apt uses."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    command += ["Component: main"]
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout.split()[0]
    except (FileNotFoundError, IndexError):
        raise RestemError(
            "apt has no Debian mirror", "apt-get indextargets", "give --mirror URL"
        ) from None


def driver() -> str:
    """Return the version of the GPU driver. Raises RestemError when there is none."""
    path = Path("/proc/driver/nvidia/version")
    if not path.is_file():
        raise RestemError(
            "there is no NVIDIA driver here",
            str(path),
            "run this on a GPU node; images contain CUDA but not the driver",
        )
    return path.read_text().splitlines()[0]


def configure_apptainer(root: Path, named: Iterable[Path] = (), create: bool = True) -> None:
    """Set the environment variables by which apptainer runs jobs in containers.

    Jobs see GPUs if SLURM has allocated some, or if there is no SLURM and the machine has some. A
    container sees only the clone, so all else that jobs read or write is bound: folders that the
    clone links to, those that the study names (`named`), the shared store, caches, and the folder
    for temporary files. create: make the folders of caches that are missing. Root has no
    capabilities in a container, but the sandbox needs some; a user namespace provides them.
    """
    in_slurm = bool(os.environ.get("SLURM_JOB_ID"))
    allocated = bool(os.environ.get("CUDA_VISIBLE_DEVICES"))
    if allocated if in_slurm else Path("/dev/nvidiactl").exists():
        os.environ["APPTAINER_NV"] = "1"
    if os.geteuid() == 0:
        os.environ.setdefault("APPTAINER_FAKEROOT", "1")
    caches = _caches()
    for folder in caches if create else ():
        folder.mkdir(parents=True, exist_ok=True)
    linked = [p for p in root.iterdir() if p.is_symlink() and p.is_dir()]
    folders = [p for path in (*linked, *named, *caches) for p in (path.absolute(), path.resolve())]
    outside = [str(p) for p in folders if p.exists() and not p.is_relative_to(root.resolve())]
    bound = os.environ.get("APPTAINER_BIND", "").split(",")
    os.environ["APPTAINER_BIND"] = ",".join(dict.fromkeys(filter(None, [*bound, *outside])))


def _caches() -> list[Path]:
    """Return folders outside the clone that jobs write to.

    A container has another home, so caches that follow the home get a variable.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    for name, folder in (("HF_HOME", "huggingface"), ("RESTEM_CACHE", "restem")):
        os.environ.setdefault(name, str(home / folder))
    stated = (os.environ.get(name) for name in (*CACHES, STORE, "TMPDIR"))
    return [Path(path).expanduser() for path in stated if path]
