"""Types of the values that options of the tools take, and an option that several tools have."""

import math
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

FILE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False)


class Finite(click.FloatRange):
    """Read a finite number in a range; click itself accepts nan in any range."""

    def convert(self, value: Any, param: Any, ctx: click.Context | None) -> float:
        """Return the number."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            raise click.BadParameter(f"{value} is not a finite number", ctx, param)
        return number


class ModelSize(click.ParamType[tuple[str, float]]):
    """Read a model with its number of parameters, such as S=1.5e9."""

    name = "MODEL=NUMBER"

    def convert(self, value: str, param: Any, ctx: click.Context | None) -> tuple[str, float]:
        """Return the name and the number."""
        name, _, number = value.partition("=")
        with suppress(ValueError):
            if 0 < float(number) < math.inf:
                return name, float(number)
        expected = "a model and its number of parameters"
        raise click.BadParameter(f"{value!r} is not like S=1.5e9: {expected}", ctx, param)


class Named(click.ParamType[tuple[str, str]]):
    """Read a name and its value, such as gsm8k=mit."""

    name = "NAME=VALUE"

    def convert(self, value: str, param: Any, ctx: click.Context | None) -> tuple[str, str]:
        """Return the name and the value."""
        name, _, stated = value.partition("=")
        if name and stated:
            return name, stated
        raise click.BadParameter(f"{value!r} is not like gsm8k=mit", ctx, param)


SHARE = Finite(0, 1, min_open=True)
POSITIVE = Finite(0, min_open=True)


def _use_profile(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value:
        os.environ["SNAKEMAKE_PROFILE"] = value  # as Snakemake itself reads it


PROFILE = click.option(
    "--profile",
    callback=_use_profile,
    expose_value=False,
    help="Snakemake profile of the run, such as slurm; it decides on engine and images.",
)
