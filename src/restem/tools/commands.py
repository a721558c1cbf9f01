"""The commands that keep results and follow runs, and those of the site's settings."""

from itertools import chain
from pathlib import Path

import click

from restem.tools.parameters import FILE, PROFILE

EXISTING = click.Path(path_type=Path, exists=True)


@click.command()
@click.option("--configfile", type=FILE, help="The study; the demo by default.")
@click.option(
    "--keep",
    type=click.Choice(["all", "final", "needed"]),
    default="final",
    show_default=True,
    help="Checkpoints that stay: all, those of base models and last iterations, or only those that "
    "a job which has not run yet will read.",
)
@click.option("--delete", is_flag=True, help="Delete it; otherwise it is only shown.")
@PROFILE
def prune(configfile: Path | None, keep: str, delete: bool) -> None:
    """Free the disk space of weights and states that a study no longer needs."""
    from restem.tools.prune import prune as text

    click.echo(text(configfile, keep, delete))  # type: ignore[arg-type]


@click.command("pin")
@click.argument("path", type=EXISTING)
@click.option("--reason", required=True, help="Why it is kept; tables and plans say so.")
def pin_artifact(path: Path, reason: str) -> None:
    """Keep an artifact as it is: it does not run again, and its pin is named in all results."""
    from restem.artifacts.pins import pin

    click.echo(f"pinned {pin(path, reason)}")


@click.command("unpin")
@click.argument("path", type=EXISTING)
def unpin_artifact(path: Path) -> None:
    """Remove a pin; the artifact runs again if its recipe has changed."""
    from restem.artifacts.pins import unpin

    click.echo(f"unpinned {unpin(path)}")


@click.command()
@click.argument("other", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--configfile", type=FILE, help="The study; the demo by default.")
@PROFILE
def adopt(other: Path, configfile: Path | None) -> None:
    """Take over somebody else's results (results/<study>) where the recipes are equal."""
    from restem.tools.adopt import adopt as text

    click.echo(text(other, configfile))


@click.command()
@click.argument("modules", nargs=-1, required=True)
@click.option("--configfile", type=FILE, help="The study; the demo by default.")
@click.option("--reason", required=True, help="Why these changes change no result.")
@PROFILE
def accept(modules: tuple[str, ...], configfile: Path | None, reason: str) -> None:
    """Keep artifacts that are stale for changes in the named modules alone.

    Name those that `restem plan` lists, such as restem.errors or 'restem.artifacts.*', and locks as
    envs/model.txt. Their seals record it.
    """
    from restem.tools.accept import accept as text

    click.echo(text(modules, configfile, reason))


@click.command()
@click.argument("targets", nargs=-1)
@click.option("--configfile", type=FILE, help="The study; the demo by default.")
@PROFILE
@click.option("--json", "as_json", is_flag=True, help="Print it for a machine.")
def status(targets: tuple[str, ...], configfile: Path | None, as_json: bool) -> None:
    """Show how far a study is: what is done, runs, waits and failed, and the time left."""
    import json

    from restem.tools.status import in_words
    from restem.tools.status import status as look

    found = look(targets, configfile)
    click.echo(json.dumps(found.as_json(), indent=2) if as_json else in_words(found))


@click.command()
@click.argument("first")
@click.argument("second")
@click.option("--output", type=FILE, help="Also write it: .md for Markdown, .html for a page.")
def compare(first: str, second: str, output: Path | None) -> None:
    """Compare two studies: their recipes, the estimates (second minus first) and the costs.

    Each is a folder results/<study> or an archive of one. A selection of policies may follow:
    results/demo:rest-em, results/demo:S/rest-em/last.
    """
    from restem.pages.document import save, terminal
    from restem.tools.compare import compare as document_of

    if output and output.suffix not in (".md", ".html"):
        raise click.BadParameter("name a file that ends in .md or .html", param_hint="--output")
    document = document_of(first, second)
    if output:
        save(document, output)
    click.echo(terminal(document))


@click.command()
@click.argument("study", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--policy", help="Who sampled: S/rest-em/seed-0/iter-1, or a part of it.")
@click.option("--task", help="Task of the problems.")
@click.option("--split", help="Split of the problems.")
@click.option("--decoding", help="Decoding.")
@click.option("--problem", help="Id of a problem.")
@click.option("--verdict", help="Verdict: correct, incorrect ...")
@click.option("--trained", help="A policy whose selection read them.")
@click.option("--decision", help="Whether it was kept as an example, or why not.")
@click.option("--search", help="A text in the completion, in any case of letters.")
@click.option("--limit", default=20, type=click.IntRange(1), show_default=True, help="How many.")
def browse(study: Path, limit: int, **filters: str | None) -> None:
    """Look at completions with their problem, verdict, and why each was kept or dropped.

    Without options, list what can be chosen, with counts.
    """
    from restem.tools.browse import browse as texts
    from restem.tools.completions import Filters

    shown = texts(study, Filters(**filters), limit)
    first = next(shown)  # an error is raised before there is a pager
    click.echo_via_pager(chain([first], shown))


@click.group()
def site() -> None:
    """Write and check the settings of a site: accounts, partitions, limits, shared folders."""


@site.command("init")
@click.option("--output", type=FILE, help="File to write; where restem looks for it by default.")
def write_site(output: Path | None) -> None:
    """Write a commented file of site settings."""
    from restem.deployment.site import site_path, write_template

    path = output or site_path()
    write_template(path)
    click.echo(f"wrote {path}: take the # away and write your names")


@site.command("show")
def show_site() -> None:
    """Check the settings, and print what they say."""
    from restem.deployment.site import load_site, site_path

    path = site_path()
    click.echo(f"# {path}" + ("" if path.is_file() else " does not exist; nothing is set"))
    click.echo(load_site().model_dump_json(indent=2, exclude_none=True))


@click.command(hidden=True)
@click.argument("results", type=click.Path(path_type=Path))
@click.option("--settings", required=True, help="Those of the stage `tracking`.")
@click.option("--until", type=int, help="The parent process that this one ends with.")
@click.option("--since", type=float, default=0.0, help="When the run began.")
def follow(results: Path, settings: str, until: int | None, since: float) -> None:
    """Send to MLflow what trainings measure while they run; each run starts this by itself."""
    from restem.stages.execution import from_argument
    from restem.tracking.follow import follow as send

    send(results, from_argument(settings), until, since)


COMMANDS = (
    *(prune, pin_artifact, unpin_artifact, adopt, accept),
    *(status, compare, browse, follow, site),
)
