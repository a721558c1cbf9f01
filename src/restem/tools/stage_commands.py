"""The command of a stage, made from its declaration."""

from typing import Any, get_args, get_origin

import click

from restem.stages.declaration import Stage, file_of
from restem.tools.parameters import FILE, FOLDER


class StageCommand(click.Command):
    """Read `--name A B C` as `--name A --name B --name C`, and a bare `--name` as an empty list."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Spread lists, then parse as usual."""
        lists = {o for p in self.params if getattr(p, "multiple", False) for o in p.opts}
        spread: list[str] = []
        name = ""
        for arg in args:
            if arg.startswith("--"):
                name = arg if arg in lists else ""
                spread += [] if name else [arg]
            else:
                spread += [name, arg] if name else [arg]
        return super().parse_args(ctx, spread)


def command_of(stage: Stage) -> click.Command:
    """Return the command of a stage, with an option for each of its parameters."""

    def body(settings: str, code: str | None, environment: str, **values: Any) -> None:
        from restem.stages.execution import execute

        execute(stage, values, settings, code, environment)

    options: list[click.Parameter] = [_option(stage, name) for name in stage.parameters]
    options += [
        click.Option(["--settings"], required=True, help="Slice of the configuration, as JSON."),
        click.Option(["--code"], help="Expected digest of the code; refused if it differs."),
        click.Option(["--environment"], default="unlocked", help="Digest of the lock, to record."),
    ]
    name = stage.name.replace("_", "-")
    return StageCommand(name, params=options, callback=body, help=stage.run.__doc__)


def _option(stage: Stage, name: str) -> click.Option:
    kind, parameter = stage.parameters[name]
    optional = parameter.default is not parameter.empty
    names, text = [f"--{name.replace('_', '-')}"], stage.help.get(name)
    if file := file_of(kind):
        path = FOLDER if file.folder else FILE
        many = {"multiple": True} if file.several else {}
        return click.Option(names, type=path, required=not optional, help=text, **many)
    kind = get_args(kind)[0] if get_origin(kind) else kind
    return click.Option(names, type=kind, default=parameter.default, show_default=True, help=text)
