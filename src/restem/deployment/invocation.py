"""How Snakemake was called: what it does not tell the workflow that it reads."""

import contextlib
import io
import shlex
import sys
from functools import cache
from typing import Any


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
    return arguments().executor not in (None, "local", "dryrun", "touch")


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
