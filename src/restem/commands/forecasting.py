"""The command that says what a study would take."""

import math
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from restem.commands.making import FILE


class Finite(click.FloatRange):
    """Read a number in a range; click itself takes nan for one in any."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            raise click.BadParameter(f"{value} is not a finite number", ctx, param)
        return number


SHARE = Finite(0, 1, min_open=True)
POSITIVE = Finite(0, min_open=True)


class ModelSize(click.ParamType[tuple[str, float]]):
    """Read a model with its number of parameters, S=1.5e9."""

    name = "MODEL=NUMBER"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, float]:
        """Return the name and the number."""
        name, _, number = value.partition("=")
        with suppress(ValueError):
            if 0 < float(number) < math.inf:
                return name, float(number)
        wanted = "a model and how many parameters it has"
        raise click.BadParameter(f"{value!r} is not like S=1.5e9: {wanted}", ctx, param)


@click.command()
@click.option("--configfile", type=FILE, required=True, help="The study.")
@click.option("--parameters", multiple=True, type=ModelSize(), help="One for each model: S=1.5e9.")
@click.option("--length", default=0.5, type=SHARE, help="Mean completion, of max_tokens.")
@click.option("--solved", default=0.5, type=SHARE, help="Share of draws that are correct.")
@click.option("--characters", default=3.0, type=POSITIVE, help="Of a token, in prompts.")
@click.option("--peak", default=989e12, type=POSITIVE, help="FLOP/s of a GPU; H100, bfloat16.")
@click.option("--drawing", default=0.1, type=SHARE, help="Share of the peak in drawing.")
@click.option("--training", default=0.35, type=SHARE, help="Share of the peak in training.")
def forecast(configfile: Path, parameters: Sequence[tuple[str, float]], **assumed: float) -> None:
    """Say what a study would take: tokens, FLOPs and GPU-hours by model and kind of work."""
    from restem.accounts.forecast import Assumed, Forecast, text
    from restem.config.load import load_study, read_yaml
    from restem.study.graph import Walk

    walk = Walk(load_study(read_yaml(configfile), Path("config")))
    click.echo(text(Forecast(walk, dict(parameters), Assumed(**assumed))))
