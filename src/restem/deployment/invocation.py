"""How Snakemake was called: what it does not tell the workflow that it reads."""

import contextlib
import io
import shlex
import shutil
import sys
from functools import cache
from pathlib import Path
from typing import Any

from restem.deployment.profile import ON_THIS_MACHINE
from restem.errors import RestemError


@cache
def arguments() -> Any:
    """Return the arguments of Snakemake's command line, those of the profiles included.

    Snakemake reads them once more, which takes a part of a second: ask only if you need them.
    """
    from snakemake.cli import parse_args

    with contextlib.redirect_stderr(io.StringIO()):  # it names the profiles a second time
        return parse_args(sys.argv[1:])[1]


def is_remote() -> bool:
    """Tell whether jobs run somewhere else than on this machine."""
    return arguments().executor not in ON_THIS_MACHINE


def require_command() -> None:
    """Raise RestemError if the jobs of this run would not find the command `restem`."""
    if shutil.which("restem") is None:
        activate = Path(sys.prefix) / "bin" / "activate"
        raise RestemError("jobs cannot find the command restem", "PATH", f"source {activate}")


def command(target: str) -> str:
    """Return a command for another target of the same study, as a person would paste it.

    It keeps the options that decide what the study is: profiles, configuration files and values.
    """
    given = arguments()
    words = ["snakemake", target]
    if given.profile:
        words += ["--profile", *map(str, given.profile)]
    else:
        words += ["--cores", "1"]
    if given.config:
        words += ["--config", *map(str, given.config)]
    if given.configfile:
        words += ["--configfile", *map(str, given.configfile)]
    return shlex.join(words)
