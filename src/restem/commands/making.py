"""What all commands of stages share: lists of files, readable failures, and one way of making."""

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from restem import recipes
from restem.arguments import from_argument
from restem.artifacts.digests import code_digests, digest
from restem.artifacts.store import Job, Recipe, content_of, produce
from restem.config.errors import validate
from restem.errors import RestemError

FILE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False)


class Command(click.Group):
    """List subcommands in the order of the walk."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order in which they were defined."""
        return list(self.commands)


@contextmanager
def fail_readably() -> Iterator[None]:
    """Show a RestemError as its three parts and leave; every other error keeps its traceback."""
    try:
        yield
    except RestemError as problem:
        print(f"restem: {problem}", file=sys.stderr, flush=True)
        raise SystemExit(1) from None


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


def make(
    stage: str,
    options: Mapping[str, Any],
    inputs: Mapping[str, Any],
    outputs: Mapping[str, Path],
    body: Callable[[Job], None],
) -> None:
    """Run a stage's body under its recipe, unless the outputs can be put back as they were."""
    settings = _settings(stage, options["settings"])
    code = code_digests(recipes.modules(stage, settings))
    if options["code"] not in (None, digest(code)):
        raise RestemError(
            "the code is not the one that this job was planned with",
            f"stage {stage}",
            "give the same snakemake command again; do not edit src/ while a study runs, or leave "
            "out --code when you run a stage by hand",
        )
    listed = {k: [v] if isinstance(v, Path) else list(v) for k, v in inputs.items()}
    if missing := [path for paths in listed.values() for path in paths if not path.exists()]:
        raise RestemError(
            "an input is not there", str(missing[0]), "make it first, or correct the path"
        )
    contents = {name: [content_of(path) for path in paths] for name, paths in listed.items()}
    recipe = Recipe(stage, settings, code, options["environment"], contents)
    # A put-back receipt would leave the spool of an outage unpublished for ever.
    with produce(recipe, outputs, reuse=stage != "tracking") as job:
        if not job.reused:
            body(job)


def _settings(stage: str, text: str) -> dict[str, Any]:
    """Read a stage's slice of configuration, and refuse it when it does not fit the stage."""
    try:
        settings = from_argument(text)
    except ValueError as problem:
        raise RestemError(f"this is not JSON: {problem}", "--settings", "quote it") from problem
    if not isinstance(settings, dict):
        raise RestemError("this is not a JSON object", "--settings", "write '{\"key\": value}'")
    validate(importlib.import_module(f"restem.stages.{stage}").Settings, settings, "--settings")
    return settings


@click.group(cls=Command, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Self-training experiments (ReST-EM), one command a stage of the walk.

    The rules call these commands; any printed job can be pasted and run by hand.
    """


def stage(function: Callable[..., None]) -> Callable[..., None]:
    """Add the three options that decide staleness, which every stage takes."""
    function = click.option(
        "--environment",
        default="unlocked",
        help="Digest of the locked environment, for the record.",
    )(function)
    function = click.option(
        "--code", default=None, help="Expected digest of the stage's code; refused if it differs."
    )(function)
    function = click.option(
        "--settings", required=True, help="The stage's slice of configuration, as JSON."
    )(function)
    return cli.command(cls=StageCommand, name=function.__name__)(function)


def listed(name: str, text: str, required: bool = True) -> Callable[..., Any]:
    """Declare an option that takes a list of files, as Snakemake writes it: --name A B C."""
    return click.option(name, type=FILE, required=required, multiple=True, help=text)
