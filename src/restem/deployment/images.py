"""Container images: named after what they are built from, recorded when built, verified before use.

The name of an image ends in the digest of its definition and of the locks that it installs, so a
new lock asks for a new image. Beside it lies a record of its content. Images hold locked
dependencies only; the code is the checkout's.
"""

import getpass
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from restem.artifacts.digests import digest, file_digest, lock_digest
from restem.artifacts.store import read_json, write_json
from restem.errors import RestemError

FOLDER = Path("containers")
LOCKS = re.compile(r"-r envs/([\w-]+\.txt)")
ON_GPUS = ("cuda.txt", "vllm.txt")  # locks of images that hold torch's CUDA build
HEADER = re.compile(r"^(?:\w+: .*\n)+", re.MULTILINE)  # of a definition: what it is based on
DEBIAN = """Bootstrap: debootstrap
OSVersion: bookworm
MirrorURL: {{ MIRROR }}
Include: bash ca-certificates

%arguments
    MIRROR=file:///give-a-mirror
"""
PACKING = ("--mksquashfs-args", "-comp zstd -Xcompression-level 3")


@dataclass(frozen=True)
class Image:
    """One image: a definition in `containers/`, and what it makes of the locks in `envs/`."""

    name: str
    root: Path

    @property
    def definition(self) -> Path:
        """Return the file that says how the image is built."""
        path = self.root / FOLDER / f"{self.name}.def"
        if not path.is_file():
            known = sorted(p.stem for p in path.parent.glob("*.def"))
            raise RestemError(
                f"there is no image {self.name!r}", str(path), f"take one of: {', '.join(known)}"
            )
        return path

    @property
    def locks(self) -> list[Path]:
        """List the locks that the definition installs."""
        names = LOCKS.findall(self.definition.read_text())
        return [self.root / "envs" / name for name in names]

    @property
    def path(self) -> Path:
        """Return where the image lies once it is built."""
        lines = self.definition.read_text().splitlines()
        recipe = [line.rstrip() for line in lines if not line.startswith("#")]
        made_of = digest([recipe, *(lock_digest(lock) for lock in self.locks)])
        return self.root / FOLDER / f"{self.name}-{made_of[:12]}.sif"

    @property
    def record(self) -> Path:
        """Return where the image's content is recorded."""
        return self.path.with_suffix(".json")


def verified(image: Image) -> str:
    """Return the sha256 of an image, after comparing it with what was built.

    Raises RestemError when the image is missing, or is not what was built. The content is read
    again only when size or time differ from the record's.
    """
    path = image.path
    if not (path.is_file() and image.record.is_file()):
        raise RestemError(
            "the image is not built", str(path), f"run `snakemake --cores 1 images` ({image.name})"
        )
    record = read_json(image.record)
    unchanged = [path.stat().st_size, path.stat().st_mtime_ns] == record["seen"]
    if not unchanged and file_digest(path) != record["sha256"]:
        raise RestemError(
            "the image is not what was built", str(path), "delete it, then build it again"
        )
    return str(record["sha256"])


def build(image: Image, mirror: str | None, wheels: Path | None, from_debian: bool = False) -> None:
    """Build an image from its definition, run its tests, and record its content.

    mirror: of Debian, for images that are bootstrapped from it; this machine's own if left out.
    wheels: a folder with the wheels of the locks; they are collected with pip if it is left out.
    from_debian: take Debian from the mirror as the base, whatever base the definition names.
    """
    definition = image.definition.read_text()
    if from_debian and "debootstrap" not in definition:
        definition = HEADER.sub(DEBIAN, definition, count=1)
    _need_builder("debootstrap" in definition)
    with tempfile.TemporaryDirectory(dir=image.path.parent, prefix=".build-") as folder:
        collected = wheels or _wheels(image.locks, Path(folder) / "wheels")
        _check_torch(image, collected)
        options = ["--fakeroot", *PACKING, "--bind", f"{collected.resolve()}:/mnt"]
        if "{{ MIRROR }}" in definition:
            options += ["--build-arg", f"MIRROR={mirror or _mirror()}"]
        recipe, made = Path(folder) / f"{image.name}.def", Path(folder) / "image.sif"
        recipe.write_text(definition)
        _spython().build(
            recipe=str(recipe), image=str(made), sudo=False, options=options, quiet=False
        )
        if not made.is_file():
            raise RestemError(
                "apptainer did not build the image",
                str(image.definition),
                "read what it printed above",
            )
        made.replace(image.path)
    _write_record(image, HEADER.search(definition))


def _write_record(image: Image, header: "re.Match[str] | None") -> None:
    path = image.path
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
    told = _spython().inspect(str(path), json=True, quiet=True)
    attributes = (json.loads(told) if isinstance(told, str) else told).get("attributes", {})
    return dict(attributes.get("labels") or {})


def _spython() -> Any:
    if not shutil.which("singularity"):
        raise RestemError(
            "there is no apptainer here (its command `singularity`, which spython calls, is not "
            "on PATH)",
            "PATH",
            "load the site's module, or install it: containers/install-apptainer.sh on Debian 12",
        )
    from spython.main import Client

    return Client


def _need_builder(bootstraps: bool) -> None:
    """Raise RestemError when something is missing that building needs."""
    _spython()
    user = getpass.getuser()
    if not any(line.startswith((f"{user}:", f"{os.getuid()}:")) for line in _subuids()):
        raise RestemError(
            f"no fakeroot: {user} has no range of user ids",
            "/etc/subuid",
            f"ask the administrator for `apptainer config fakeroot --add {user}`, or build "
            "elsewhere and copy the image with its record",
        )
    if bootstraps and not shutil.which("debootstrap"):
        raise RestemError("debootstrap is missing", "PATH", "apt-get install debootstrap")


def _subuids() -> list[str]:
    path = Path("/etc/subuid")
    return path.read_text().splitlines() if path.is_file() else []


def _wheels(locks: Sequence[Path], folder: Path) -> Path:
    """Collect the wheels of some locks with this machine's own pip and index."""
    given = [argument for lock in locks for argument in ("-r", str(lock))]
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder)]
    if subprocess.run([*command, *given], check=False).returncode:
        raise RestemError(
            "pip cannot collect the locked packages",
            " ".join(str(lock) for lock in locks),
            "read what it printed above; --wheels takes a folder that was filled elsewhere",
        )
    return folder


def _check_torch(image: Image, wheels: Path) -> None:
    """Refuse the wrong build of torch: one version has several, and the index decides which."""
    for wheel in wheels.glob("torch-*.whl"):
        try:
            with zipfile.ZipFile(wheel) as archive:
                [name] = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
                told = archive.read(name).decode()
        except (zipfile.BadZipFile, ValueError) as problem:
            raise RestemError(
                f"the wheel cannot be read: {problem}", str(wheel), "collect the wheels again"
            ) from problem
        cuda = "Requires-Dist: nvidia-" in told
        if cuda != any(lock.name in ON_GPUS for lock in image.locks):
            wanted = "CPU" if cuda else "CUDA"
            raise RestemError(
                f"{wheel.name} is not torch's {wanted} build, which the image {image.name} needs",
                str(wheels),
                f"let pip take torch from an index that has its {wanted} build (PIP_INDEX_URL, "
                "PIP_EXTRA_INDEX_URL), or give --wheels",
            )


def _mirror() -> str:
    """Return the mirror that this machine's own apt uses."""
    asked = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    try:
        told = subprocess.run([*asked, "Component: main"], capture_output=True, text=True)
        return told.stdout.split()[0]
    except (FileNotFoundError, IndexError):
        raise RestemError(
            "this machine names no Debian mirror", "apt-get indextargets", "give --mirror URL"
        ) from None


def driver() -> str:
    """Return the version of the GPU driver. Raises RestemError when there is none."""
    path = Path("/proc/driver/nvidia/version")
    if not path.is_file():
        raise RestemError(
            "there is no NVIDIA driver here",
            str(path),
            "run this on a GPU node; images bring CUDA with them, but never the driver",
        )
    return path.read_text().splitlines()[0]


def tell_apptainer(root: Path) -> None:
    """Tell apptainer, through the environment, how jobs run in its containers.

    A job sees GPUs where SLURM hands them out, or where there is no SLURM. Folders that are links
    out of the clone are bound, since the container sees the clone only. Root has no capabilities
    in a container, and the sandbox of programs needs some: it gets them in a user namespace.
    """
    ours = os.environ.get("CUDA_VISIBLE_DEVICES") or not os.environ.get("SLURM_JOB_ID")
    if ours and (os.environ.get("SLURM_JOB_ID") or Path("/dev/nvidiactl").exists()):
        os.environ["APPTAINER_NV"] = "1"
    if os.geteuid() == 0:
        os.environ.setdefault("APPTAINER_FAKEROOT", "1")
    links = [str(p.resolve()) for p in root.iterdir() if p.is_symlink() and p.is_dir()]
    bound = os.environ.get("APPTAINER_BIND", "").split(",")
    os.environ["APPTAINER_BIND"] = ",".join(dict.fromkeys(filter(None, [*bound, *links])))
