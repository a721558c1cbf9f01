"""The `restem` command: one subcommand a stage, no logic in it.

A stage's command takes its inputs, its outputs and its slice of configuration; it reads no other
file and writes nothing else but its progress and its resume state.
"""

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from restem.artifacts.store import Job
from restem.commands.forecasting import forecast
from restem.commands.making import FILE, FOLDER, cli, fail_readably
from restem.commands.making import listed as _list
from restem.commands.making import make as _make
from restem.commands.making import stage as _stage
from restem.commands.tools import images, sandbox
from restem.deployment import environments

__all__ = ["cli", "fail_readably", "main"]


def main() -> None:
    """Run the command line; SIGTERM ends a stage the way an exception does, so that it saves."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with fail_readably():
        environments.enter(sys.argv[1:])
        cli()


@_stage
@_list("--data", "Files that the split is read from.", required=False)
@click.option("--output", type=FILE, required=True)
def problems(data: Sequence[Path], output: Path, **options: Any) -> None:
    """Read one split of a task as a table."""
    from restem.stages import problems as stage

    _make("problems", options, {"data": data}, {"problems": output}, lambda j: stage.run(j, output))


@_stage
@_list("--problems", "Tables of problems, in the order of the settings.")
@click.option("--output", type=FILE, required=True)
def overlap(problems: Sequence[Path], output: Path, **options: Any) -> None:
    """Report how much the splits overlap."""
    from restem.stages import overlap as stage

    inputs = {"problems": problems}
    _make("overlap", options, inputs, {"overlap": output}, lambda j: stage.run(j, problems, output))


@_stage
@_list("--files", "Local files that the model is read from.", required=False)
@click.option("--output", type=FILE, required=True, help="policy.json")
@click.option("--checkpoint", type=FOLDER, required=True)
def base(files: Sequence[Path], output: Path, checkpoint: Path, **options: Any) -> None:
    """Make a base policy: fetch, convert, unpack or pretrain it."""
    from restem.stages import base as stage

    outputs = {"policy": output, "checkpoint": checkpoint}
    _make(
        "base", options, {"files": files}, outputs, lambda job: stage.run(job, output, checkpoint)
    )


@_stage
@click.option("--policy", type=FILE, required=True)
@click.option("--problems", type=FILE, required=True)
@click.option("--shots", type=FILE, required=True)
@_list("--first-try", "Verdicts of the draws that a second try, with hints, follows.", False)
@click.option("--shard", default="1-of-1", help="Which problems: 2-of-8 is every eighth.")
@click.option("--threads", default=1, type=click.IntRange(1))
@click.option("--output", type=FILE, required=True)
def samples(
    policy: Path,
    problems: Path,
    shots: Path,
    first_try: Sequence[Path],
    shard: str,
    threads: int,
    output: Path,
    **options: Any,
) -> None:
    """Draw completions from a policy; those drawn before are kept."""
    from restem.stages import samples as stage

    def body(job: Job) -> None:
        stage.run(job, policy, problems, shots, first_try, shard, threads, output)

    inputs = {"policy": policy, "problems": problems, "shots": shots, "first_try": first_try}
    _make("samples", options, inputs, {"samples": output}, body)


@_stage
@click.option("--policy", type=FILE, required=True)
@click.option("--problems", type=FILE, required=True)
@click.option("--shots", type=FILE, required=True)
@click.option("--shard", default="1-of-1", help="Which problems: 2-of-8 is every eighth.")
@click.option("--threads", default=1, type=click.IntRange(1))
@click.option("--output", type=FILE, required=True)
def search(
    policy: Path,
    problems: Path,
    shots: Path,
    shard: str,
    threads: int,
    output: Path,
    **options: Any,
) -> None:
    """Search for solutions with the verifier as judge, instead of drawing them."""
    from restem.stages import search as stage

    def body(job: Job) -> None:
        stage.run(job, policy, problems, shots, shard, threads, output)

    inputs = {"policy": policy, "problems": problems, "shots": shots}
    _make("search", options, inputs, {"samples": output}, body)


@_stage
@click.option("--samples", type=FILE, required=True)
@click.option("--problems", type=FILE, required=True)
@click.option("--output", type=FILE, required=True)
def rewards(samples: Path, problems: Path, output: Path, **options: Any) -> None:
    """Verify completions: one verdict each."""
    from restem.stages import rewards as stage

    inputs = {"samples": samples, "problems": problems}
    outputs = {"rewards": output}
    _make("rewards", options, inputs, outputs, lambda j: stage.run(j, samples, problems, output))


@_stage
@_list("--samples", "Every shard of the completions.")
@click.option("--problems", type=FILE, required=True)
@click.option("--output", type=FILE, required=True, help="The sheet, a CSV file.")
def sheet(samples: Sequence[Path], problems: Path, output: Path, **options: Any) -> None:
    """Write a sheet on which a human gives points to completions."""
    from restem.stages import sheet as stage

    inputs = {"samples": samples, "problems": problems}
    body = lambda job: stage.run(job, samples, problems, output)  # noqa: E731
    _make("sheet", options, inputs, {"sheet": output}, body)


@_stage
@click.option("--sheet", type=FILE, required=True, help="The filled sheet, a CSV file.")
@_list("--samples", "Every shard of the completions.")
@click.option("--problems", type=FILE, required=True)
@click.option("--shard", default="1-of-1", help="Which problems: 2-of-8 is every eighth.")
@click.option("--output", type=FILE, required=True)
def points(
    sheet: Path, samples: Sequence[Path], problems: Path, shard: str, output: Path, **options: Any
) -> None:
    """Read the points of a filled sheet: one verdict a completion."""
    from restem.stages import points as stage

    inputs = {"sheet": sheet, "samples": samples, "problems": problems}
    body = lambda job: stage.run(job, sheet, samples, problems, shard, output)  # noqa: E731
    _make("points", options, inputs, {"rewards": output}, body)


@_stage
@_list("--samples", "Shards of the E-step.", required=False)
@_list("--rewards", "Verdicts of the same shards.", required=False)
@click.option("--problems", type=FILE, required=True)
@click.option("--shots", type=FILE, required=True)
@click.option("--output", type=FILE, required=True)
def examples(
    samples: Sequence[Path],
    rewards: Sequence[Path],
    problems: Path,
    shots: Path,
    output: Path,
    **options: Any,
) -> None:
    """Select training examples, and record why the rest is dropped."""
    from restem.stages import examples as stage

    def body(job: Job) -> None:
        stage.run(job, samples, rewards, problems, shots, output)

    inputs = {"samples": samples, "rewards": rewards, "problems": problems, "shots": shots}
    _make("examples", options, inputs, {"examples": output}, body)


@_stage
@click.option("--examples", type=FILE, required=True)
@click.option("--start", type=FILE, required=True, help="policy.json of the weights to start from")
@click.option("--validation", type=FILE, required=True)
@click.option("--shots", type=FILE, required=True)
@click.option("--threads", default=1, type=click.IntRange(1))
@click.option("--output", type=FILE, required=True, help="policy.json")
@click.option("--checkpoint", type=FOLDER, required=True)
@click.option("--save-seconds", default=600.0, help="Time between saves of the resume state.")
def policy(
    examples: Path,
    start: Path,
    validation: Path,
    shots: Path,
    threads: int,
    output: Path,
    checkpoint: Path,
    save_seconds: float,
    **options: Any,
) -> None:
    """Fine-tune a policy while its validation reward improves (the M-step)."""
    from restem.stages import policy as stage

    def body(job: Job) -> None:
        inside = (examples, start, validation, shots, threads, output, checkpoint)
        stage.run(job, *inside, save_seconds)

    inputs = {"examples": examples, "start": start, "validation": validation, "shots": shots}
    _make("policy", options, inputs, {"policy": output, "checkpoint": checkpoint}, body)


@_stage
@click.option("--examples", type=FILE, required=True)
@click.option("--start", type=FILE, required=True, help="policy.json of the frozen weights")
@_list("--anchors", "policy.json of the weights to interpolate with.", False)
@click.option("--validation", type=FILE, required=True)
@click.option("--shots", type=FILE, required=True)
@click.option("--threads", default=1, type=click.IntRange(1))
@click.option("--output", type=FILE, required=True, help="policy.json")
@click.option("--checkpoint", type=FOLDER, required=True)
def frozen(
    examples: Path,
    start: Path,
    anchors: Sequence[Path],
    validation: Path,
    shots: Path,
    threads: int,
    output: Path,
    checkpoint: Path,
    **options: Any,
) -> None:
    """Make a policy without fitting weights: a prompt, or a mean of two policies."""
    from restem.stages import frozen as stage

    def body(job: Job) -> None:
        stage.run(job, examples, start, anchors, validation, threads, output, checkpoint)

    inputs = {"examples": examples, "start": start, "anchors": anchors}
    inputs |= {"validation": validation, "shots": shots}
    _make("frozen", options, inputs, {"policy": output, "checkpoint": checkpoint}, body)


@_stage
@_list("--samples", "Shards of the evaluated completions.")
@_list("--rewards", "Verdicts of the same shards.")
@click.option("--problems", type=FILE, required=True)
@click.option("--policy", type=FILE, required=True)
@click.option("--output", type=FILE, required=True)
def metrics(
    samples: Sequence[Path],
    rewards: Sequence[Path],
    problems: Path,
    policy: Path,
    output: Path,
    **options: Any,
) -> None:
    """Count the correct completions of every problem."""
    from restem.stages import metrics as stage

    def body(job: Job) -> None:
        stage.run(job, samples, rewards, problems, policy, output)

    inputs = {"samples": samples, "rewards": rewards, "problems": problems, "policy": policy}
    _make("metrics", options, inputs, {"metrics": output}, body)


import restem.commands.reports  # noqa: E402, F401 - its commands follow those of the walk


@cli.command()
@click.option("--output", type=FILE, help="File to write; else it is printed.")
def schema(output: Path | None) -> None:
    """Print the JSON schema of a study file."""
    from restem.artifacts.store import write_text
    from restem.config.load import schema as text

    if output:
        write_text(output, text())
    else:
        click.echo(text(), nl=False)


@cli.command()
@click.option("--task", required=True, help="Whose verifier judges: math, gsm8k, mbpp, apps ...")
@click.option("--input", "source", type=FILE, required=True, help="JSON lines to grade.")
@click.option("--output", type=FILE, required=True, help="JSON lines of verdicts.")
@click.option("--details", is_flag=True, help="Also write what was extracted and compared.")
def grade(task: str, source: Path, output: Path, details: bool) -> None:
    """Grade JSON lines without a workflow: one verdict a line, in order."""
    from restem.tools.grade import grade_file

    counts = grade_file(task, source, output, details)
    click.echo("grade: " + ", ".join(f"{n} {verdict}" for verdict, n in counts.most_common()))


@cli.command()
@click.option("--rewards", type=FILE, help="A table of rewards, with --problems.")
@click.option("--problems", type=FILE, help="The problems that the rewards were made with.")
@click.option("--input", "source", type=FILE, help="Or JSON lines, as `restem grade` reads them.")
@click.option("--output", type=FILE, required=True, help="JSON lines of disagreements.")
@click.option("--sample", default=1000, type=click.IntRange(1), help="Answers to re-grade.")
@click.option("--seed", default=0, help="Of the sample.")
def audit(
    rewards: Path | None,
    problems: Path | None,
    source: Path | None,
    output: Path,
    sample: int,
    seed: int,
) -> None:
    """Compare the math verifier with a second grader (Math-Verify) on a sample."""
    from restem.tools import compare_graders as second

    if source and not rewards:
        counts = second.audit_pairs(source, output, sample, seed)
    elif rewards and problems and not source:
        counts = second.audit_rewards(rewards, problems, output, sample, seed)
    else:
        raise click.UsageError("give --rewards with --problems, or --input")
    click.echo("\n".join(second.summary(counts)))


@cli.command()
@click.option("--base", type=FOLDER, required=True, help="Checkpoint that it was trained on.")
@click.option("--adapter", type=FOLDER, required=True, help="Folder with adapter_config.json.")
@click.option("--output", type=FOLDER, required=True, help="Checkpoint to write.")
def merge(base: Path, adapter: Path, output: Path) -> None:
    """Merge a LoRA adapter into its base: a whole checkpoint that anything can load."""
    from restem.training.lora import merge as merged

    merged(base, adapter, output)


@cli.command()
@click.argument("path", type=click.Path(path_type=Path, exists=True))
@click.option("--rows", default=5, type=click.IntRange(1), help="Rows of a table to show.")
@click.option("--problem", default=None, help="Show all that is known of one problem's rows.")
def show(path: Path, rows: int, problem: str | None) -> None:
    """Print any artifact for a human: what it holds, a completion with its verdict, provenance."""
    from restem.tools.show import show as text

    click.echo(text(path, rows, problem))


@cli.command()
@click.argument("targets", nargs=-1)
@click.option("--configfile", type=FILE, help="The study; the demo if it is left out.")
@click.option("--images", is_flag=True, help="Plan a run in container images.")
def plan(targets: tuple[str, ...], configfile: Path | None, images: bool) -> None:
    """Say what a run would do: what is stale, what changed (key, file, module), at what cost."""
    from restem.tools.plan import plan as text

    click.echo(text(targets, configfile, images))


cli.add_command(forecast)
cli.add_command(images)
cli.add_command(sandbox)


if __name__ == "__main__":
    main()
