"""The `restem` command: one subcommand for each stage, made from its declaration, and tools.

A stage's command reads the inputs and the slice of configuration that it is given, and writes its
outputs; it reads no other file. Modules are imported only when their command is asked for.
"""

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from restem.errors import RestemError, of_system
from restem.stages.declaration import load_stage, stage_names
from restem.tools.commands import COMMANDS
from restem.tools.parameters import FILE, FOLDER, POSITIVE, PROFILE, SHARE, ModelSize, Named
from restem.tools.stage_commands import StageCommand, command_of

EXISTING = click.Path(path_type=Path, exists=True)
ROOT = Path()


@contextmanager
def fail_readably() -> Iterator[None]:
    """Show a RestemError, or what the system refuses, as its three parts and exit.

    Every other error keeps its traceback.
    """
    try:
        yield
    except RestemError as problem:
        shown = problem
    except Exception as error:
        refused = of_system(error)
        if refused is None:
            raise
        shown = refused
    else:
        return
    print(f"restem: {shown}", file=sys.stderr, flush=True)
    raise SystemExit(1)


def main() -> None:
    """Run the command line; SIGTERM ends a stage as an exception does, so that it saves."""
    from restem.deployment import environments

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with fail_readably():
        environments.enter(sys.argv[1:])
        cli()


class Commands(click.Group):
    """The tools that are defined here, and the stages, which are imported on demand."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all stages, then those of the tools."""
        return [*(name.replace("_", "-") for name in stage_names()), *self.commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command by its name."""
        name = cmd_name.replace("-", "_")
        if name in stage_names():
            return command_of(load_stage(name))
        return super().get_command(ctx, cmd_name)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="restem")
def cli() -> None:
    """Self-training experiments (ReST-EM): a command for each stage, and tools.

    The rules of the workflow call the stages; a printed job can be pasted and run by hand.
    """


@cli.command()
@click.option("--output", type=FILE, help="File to write; printed by default.")
def schema(output: Path | None) -> None:
    """Print the JSON schema of a study file."""
    from restem.artifacts.files import write_text
    from restem.config.schema import schema as text

    if output:
        write_text(output, text())
    else:
        click.echo(text(), nl=False)


@cli.command()
@click.option("--task", required=True, help="Task whose verifier judges: math, gsm8k, mbpp ...")
@click.option("--input", "source", type=FILE, required=True, help="JSON lines to grade.")
@click.option("--output", type=FILE, required=True, help="JSON lines of verdicts.")
@click.option("--details", is_flag=True, help="Also write what was extracted and compared.")
def grade(task: str, source: Path, output: Path, details: bool) -> None:
    """Grade JSON lines without a workflow: one verdict for each line, in order."""
    from restem.tools.grade import grade_file

    counts = grade_file(task, source, output, details)
    verdicts = ", ".join(f"{n} {verdict}" for verdict, n in counts.most_common())
    click.echo(f"grade: {verdicts or f'{source} has no lines'}")


@cli.command()
@click.option("--rewards", type=FILE, help="A table of rewards, with --problems.")
@click.option("--problems", type=FILE, help="The problems that the rewards were made with.")
@click.option("--input", "source", type=FILE, help="Or JSON lines, as `restem grade` reads them.")
@click.option("--output", type=FILE, required=True, help="JSON lines of disagreements.")
@click.option("--sample", default=1000, type=click.IntRange(1), help="Answers to grade again.")
@click.option("--seed", default=0, help="Seed of the sample.")
def compare_graders(
    rewards: Path | None,
    problems: Path | None,
    source: Path | None,
    output: Path,
    sample: int,
    seed: int,
) -> None:
    """Compare the math verifier with a second grader (Math-Verify) on a sample."""
    from restem.tools import compare_graders as tool

    if source and not rewards:
        counts = tool.compare_pairs(source, output, sample, seed)
    elif rewards and problems and not source:
        counts = tool.compare_rewards(rewards, problems, output, sample, seed)
    else:
        raise click.UsageError("give --rewards with --problems, or --input")
    click.echo("\n".join(tool.summary(counts)))


@cli.command()
@click.option("--base", type=FOLDER, required=True, help="Checkpoint that it was trained on.")
@click.option("--adapter", type=FOLDER, required=True, help="Folder with adapter_config.json.")
@click.option("--output", type=FOLDER, required=True, help="Checkpoint to write.")
def merge(base: Path, adapter: Path, output: Path) -> None:
    """Merge a LoRA adapter into its base model: a checkpoint that anything can load."""
    from restem.training.lora import merge as merge_adapter

    merge_adapter(base, adapter, output)


@cli.command(cls=StageCommand)
@click.argument("name")
@click.option("--model", required=True, help="Hub id (owner/name@commit), folder, or S, L ...")
@click.option("--tasks", multiple=True, required=True, help="Tasks: chain, math, gsm8k ...")
@click.option("--methods", multiple=True, help="Methods of config/methods; rest-em sft by default.")
@click.option("--data", type=FOLDER, help="Benchmarks' folder; their public sources by default.")
@click.option("--output", type=FILE, help="File to write; config/<name>.yaml by default.")
def new(name: str, output: Path | None, **choices: Any) -> None:
    """Write a commented study for a model, some tasks and methods, with sizes for this machine."""
    from restem.tools.new import command

    click.echo(command(name, output or Path(f"config/{name}.yaml"), **choices))


@cli.command()
@click.argument("path", type=EXISTING)
@click.option("--rows", type=click.IntRange(1), help="Rows to show: 5 texts or 50 lines.")
@click.option("--problem", help="Show all rows of one problem.")
def show(path: Path, rows: int | None, problem: str | None) -> None:
    """Print an artifact: its content, some rows in full, and its provenance."""
    from restem.tools.show import show as text

    click.echo(text(path, rows, problem))


@cli.command()
@click.argument("targets", nargs=-1)
@click.option("--configfile", type=FILE, help="The study; the demo by default.")
@PROFILE
def plan(targets: tuple[str, ...], configfile: Path | None) -> None:
    """Show what a run would do: what is stale, what changed (key, file, module), at what cost."""
    from restem.tools.plan import plan as text

    click.echo(text(targets, configfile))


@cli.command()
@click.argument("results", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--output", type=FILE, required=True, help="The archive, a .tar.gz.")
def archive(results: Path, output: Path) -> None:
    """Keep what a study (results/<study>) found: to compare it, share it, plot its figures again.

    Estimates, results by problem, recipes, costs, tables, figures; neither completions nor weights.
    """
    from restem.artifacts.digests import file_digest
    from restem.tools.archive import archive as pack

    digests, missing = pack(results, output)
    click.echo(f"{output}: {len(digests)} files, sha256 {file_digest(output)}")
    if missing:
        click.echo(missing)


@cli.command()
@click.argument("bundle", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--output", type=FOLDER, required=True)
def redraw(bundle: Path, output: Path) -> None:
    """Unpack an archive, check it, and plot all of its figures again; nothing else is run."""
    from restem.tools.archive import commands, unpack

    manifest = unpack(bundle, output)
    for command in commands(manifest, output):
        cli.main([*command], standalone_mode=False, prog_name="restem")


@cli.command()
@click.argument("study", type=FILE)
@click.option("--profile", help="Snakemake profile to check; slurm where there is a SLURM.")
def doctor(study: Path, profile: str | None) -> None:
    """Check a study, this machine and the cluster before a run; fails if something would stop it.

    Files, models, figures, memory, disk, partitions, images, locks: all findings at once, each with
    what to do.
    """
    from restem.doctor.diagnosis import diagnose, in_words, stops

    found = diagnose(study, profile)
    click.echo(in_words(found))
    if stops(found):
        raise SystemExit(1)


@cli.command()
@click.option("--configfile", type=FILE, required=True, help="The study.")
@click.option(
    "--parameters", multiple=True, type=ModelSize(), help="S=1.5e9; by default as far as known."
)
@click.option("--length", default=0.5, type=SHARE, help="Mean completion, share of max_tokens.")
@click.option("--solved", default=0.5, type=SHARE, help="Share of correct completions.")
@click.option("--characters", default=3.0, type=POSITIVE, help="Characters of a prompt token.")
@click.option("--measured", type=FILE, help="What make gpu measured, for the next three.")
@click.option("--peak", type=POSITIVE, help="FLOP/s of a GPU; 989e12 (H100, bfloat16).")
@click.option("--sampling", type=SHARE, help="Share of the peak in sampling; 0.1.")
@click.option("--training", type=SHARE, help="Share of the peak in training; 0.35.")
def forecast(
    configfile: Path,
    parameters: Sequence[tuple[str, float]],
    measured: Path | None,
    **assumptions: float | None,
) -> None:
    """Estimate a study's cost in tokens, FLOPs and GPU-hours before running it."""
    from restem.accounts.forecast import Assumptions, Forecast, markdown
    from restem.accounts.measured import read_measured
    from restem.config.load import load_families
    from restem.config.models import notes_on_data
    from restem.tools.model_sizes import parameters_of

    graph, families = graph_of(configfile), load_families(Path("config"))
    sizes = parameters_of(graph.study, families) | dict(parameters)
    stated = {name: value for name, value in assumptions.items() if value is not None}
    speeds = read_measured(measured, max(sizes.values(), default=0)) if measured else None
    values = {**(speeds.values if speeds else {}), **stated}
    click.echo(markdown(Forecast(graph, sizes, Assumptions(**values)), speeds))
    for note in notes_on_data(graph.study.models.values(), families):
        click.echo(f"\n{note}")


@cli.command()
@click.argument("action", type=click.Choice(["list", "fetch", "check"]))
@click.option("--configfile", type=FILE, required=True, help="The study.")
@click.option("--profile", help="Snakemake profile of the run; its container images count too.")
@click.option("--wheels", type=FOLDER, help="Folder for the wheels of the locks.")
def data(action: str, configfile: Path, profile: str | None, wheels: Path | None) -> None:
    """List what a study needs, fetch it for jobs without a network, or check its content.

    That is data sets, few-shot prompts, models and Python packages; with a profile that runs jobs
    in containers, the images too. `fetch` keeps what is complete, so it can be run again; `check`
    compares rows and digests.
    """
    from restem.tools.data import command

    command(action, configfile, profile, wheels, click.echo)


@cli.command()
@click.option("--configfile", type=FILE, required=True, help="The study.")
@click.option(
    "--policies",
    type=click.Choice(["last", "all", "none"]),
    default="last",
    show_default=True,
    help="Policies of which iterations.",
)
@click.option(
    "--license",
    "licenses",
    type=Named(),
    multiple=True,
    help="License of a model or a task of the study that you may pass on, such as gsm8k=mit.",
)
@click.option("--output", type=FOLDER, help="Folder to write everything to.")
@click.option("--hub", help="Owner of the repositories on the Hugging Face hub.")
@click.option("--private", is_flag=True, help="Make the repositories private.")
@click.option("--send", is_flag=True, help="Upload; otherwise it is only shown.")
def publish(
    configfile: Path,
    policies: Any,
    licenses: list[tuple[str, str]],
    output: Path | None,
    hub: str | None,
    private: bool,
    send: bool,
) -> None:
    """Publish a study: policies with cards, completions with verdicts, tables and figures.

    What has no license that lets everybody pass it on is left out, by name.
    """
    from restem.publication.publish import publish as text

    if (send or private) and not hub:
        raise click.UsageError("--send and --private are for the hub: name the owner with --hub")
    click.echo(text(configfile, policies, dict(licenses), output, hub, private, send))


def graph_of(configfile: Path) -> Any:
    """Return the graph of a study."""
    from restem.config.load import load_study, read_yaml
    from restem.study.graph import StudyGraph

    return StudyGraph(load_study(read_yaml(configfile), Path("config")))


for command in COMMANDS:
    cli.add_command(command)


@cli.command()
@click.option("--configfile", type=FILE, required=True, help="The study.")
@click.option("--results", type=FOLDER, help="Those of the pilot; results/<study> by default.")
@click.option("--problems", type=click.IntRange(2), help="Planned problems; as in the pilot.")
@click.option("--seeds", type=click.IntRange(1), help="Planned training seeds; as in the pilot.")
@click.option("--power", default=0.8, type=SHARE, help="Chance to decide an effect.")
@click.option("--seed-sd", default=0.02, type=SHARE, help="Between trainings; for one-seed pilots.")
def power(configfile: Path, results: Path | None, **plan: Any) -> None:
    """Say which effects a study can decide, from a pilot, and which claims it cannot."""
    from restem.tools.power import Plan
    from restem.tools.power import power as text

    click.echo(text(configfile, results, Plan(**plan)))


@cli.group()
def images() -> None:
    """Build and check container images for Apptainer."""


@cli.group()
def sandbox() -> None:
    """Check the sandbox that runs programs."""


@images.command("build")
@click.argument("name")
@click.option("--with", "additions", multiple=True, help="A further lock, such as smollm2.")
@click.option("--mirror", help="Debian mirror to bootstrap from; this machine's own by default.")
@click.option(
    "--wheels",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder with the wheels of the locks; by default pip collects them.",
)
@click.option(
    "--from-debian",
    is_flag=True,
    help="Base it on Debian from the mirror, where no registry of containers can be reached.",
)
def build_image(
    name: str,
    additions: tuple[str, ...],
    mirror: str | None,
    wheels: Path | None,
    from_debian: bool,
) -> None:
    """Build one image of containers/ from its definition and the locks."""
    from restem.deployment.images import Image, build

    image = Image(name, ROOT, tuple(sorted(additions)))
    build(image, mirror, wheels, from_debian)
    click.echo(f"built {image.path}")


@images.command("check")
@click.argument("names", nargs=-1)
@click.option("--gpu", is_flag=True, help="Also require a GPU driver.")
def check_images(names: tuple[str, ...], gpu: bool) -> None:
    """Compare images with what was built; all definitions by default."""
    from restem.deployment.images import FOLDER as DEFINITIONS
    from restem.deployment.images import Image, driver, verified

    if gpu:
        click.echo(driver())
    failed = False
    for name in names or sorted(path.stem for path in (ROOT / DEFINITIONS).glob("*.def")):
        try:
            image = Image(name, ROOT)
            click.echo(f"{image.path}: as built, sha256 {verified(image)}")
        except RestemError as problem:
            failed = True
            click.echo(str(problem), err=True)
    if failed:
        raise SystemExit(1)


@sandbox.command("check")
def check_sandbox() -> None:
    """Test every wall of the sandbox on this machine; fails if one is missing."""
    from restem.sandbox.probe import print_findings

    if not print_findings():
        raise SystemExit(1)


if __name__ == "__main__":
    main()
