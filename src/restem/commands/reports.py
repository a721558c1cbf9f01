"""The commands of the stages that people read: estimates, claims, costs, figures, tables."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from restem.artifacts.digests import file_digest
from restem.artifacts.store import Job
from restem.commands.making import FILE, cli
from restem.commands.making import listed as _list
from restem.commands.making import make as _make
from restem.commands.making import stage as _stage


@_stage
@_list("--metrics", "Metrics of every policy and split.", required=False)
@click.option("--output", type=FILE, required=True)
@click.option("--lifts", type=FILE, required=True)
def summary(metrics: Sequence[Path], output: Path, lifts: Path, **options: Any) -> None:
    """Estimate every quantity and every lift, with intervals."""
    from restem.stages import summary as stage

    outputs = {"summary": output, "lifts": lifts}
    body = lambda job: stage.run(job, metrics, output, lifts)  # noqa: E731
    _make("summary", options, {"metrics": metrics}, outputs, body)


@_stage
@_list("--metrics", "Metrics of every policy and split.")
@click.option("--output", type=FILE, required=True)
def breakdown(metrics: Sequence[Path], output: Path, **options: Any) -> None:
    """Estimate every quantity in groups of problems: by difficulty, subject or level."""
    from restem.stages import breakdown as stage

    body = lambda job: stage.run(job, metrics, output)  # noqa: E731
    _make("breakdown", options, {"metrics": metrics}, {"breakdown": output}, body)


@_stage
@click.option("--examples", type=FILE, required=True)
@_list("--samples", "Shards that the examples were selected from.")
@_list("--rewards", "Verdicts of the same shards.")
@click.option("--problems", type=FILE, required=True)
@click.option("--output", type=FILE, required=True)
def recheck(
    examples: Path,
    samples: Sequence[Path],
    rewards: Sequence[Path],
    problems: Path,
    output: Path,
    **options: Any,
) -> None:
    """Judge a sample of a policy's examples a second time: grader, equations, held-back tests."""
    from restem.stages import recheck as stage

    def body(job: Job) -> None:
        stage.run(job, examples, samples, rewards, problems, output)

    inputs = {"examples": examples, "samples": samples, "rewards": rewards, "problems": problems}
    _make("recheck", options, inputs, {"recheck": output}, body)


@_stage
@_list("--rechecks", "Second judgements of every audited policy, in the order of the settings.")
@click.option("--output", type=FILE, required=True)
@click.option("--page", type=FILE, required=True, help="The rates as Markdown.")
def audits(rechecks: Sequence[Path], output: Path, page: Path, **options: Any) -> None:
    """Estimate the rates of false positives among what policies were trained on."""
    from restem.stages import audits as stage

    outputs = {"audit": output, "page": page}
    body = lambda job: stage.run(job, rechecks, output, page)  # noqa: E731
    _make("audits", options, {"rechecks": rechecks}, outputs, body)


@_stage
@click.option("--policy", type=FILE, required=True)
@_list("--samples", "Every table of completions drawn from the policy.", required=False)
@click.option("--output", type=FILE, required=True)
def costs(policy: Path, samples: Sequence[Path], output: Path, **options: Any) -> None:
    """Count tokens, FLOPs and seconds of a policy and of all that was drawn from it."""
    from restem.stages import costs as stage

    inputs = {"policy": policy, "samples": samples}
    body = lambda job: stage.run(job, policy, samples, output)  # noqa: E731
    _make("costs", options, inputs, {"costs": output}, body)


@_stage
@_list("--costs", "The costs of every policy.")
@click.option("--output", type=FILE, required=True)
@click.option("--page", type=FILE, required=True, help="The ledger as Markdown.")
def ledger(costs: Sequence[Path], output: Path, page: Path, **options: Any) -> None:
    """Add up what every policy, variant and experiment cost."""
    from restem.stages import ledger as stage

    outputs = {"ledger": output, "page": page}
    body = lambda job: stage.run(job, costs, output, page)  # noqa: E731
    _make("ledger", options, {"costs": costs}, outputs, body)


@_stage
@_list("--metrics", "Metrics of every policy and split.")
@click.option("--ledger", type=FILE, required=True)
@_list("--audit", "Rates of false positives, of a study with an audit.", required=False)
@click.option("--output", type=FILE, required=True)
@click.option("--page", type=FILE, required=True, help="The verdicts as Markdown.")
def claims(
    metrics: Sequence[Path],
    ledger: Path,
    audit: Sequence[Path],
    output: Path,
    page: Path,
    **options: Any,
) -> None:
    """Test the claims of the paper: effect, interval, verdict, compute."""
    from restem.stages import claims as stage

    inputs = {"metrics": metrics, "ledger": ledger, "audit": audit}
    outputs = {"claims": output, "page": page}
    body = lambda job: stage.run(job, metrics, ledger, audit, output, page)  # noqa: E731
    _make("claims", options, inputs, outputs, body)


@_stage
@click.option("--summary", type=FILE, required=True)
@_list("--output", "The figure as PDF, SVG and PNG.")
def figure(summary: Path, output: Sequence[Path], **options: Any) -> None:
    """Draw one figure from the summary."""
    from restem.stages import figure as stage

    outputs = {path.suffix[1:]: path for path in output}
    _make(
        "figure", options, {"summary": summary}, outputs, lambda j: stage.run(j, summary, outputs)
    )


@_stage
@click.option("--summary", type=FILE, required=True)
@click.option("--lifts", type=FILE, required=True)
@_list("--output", "The table as Markdown and CSV.")
def table(summary: Path, lifts: Path, output: Sequence[Path], **options: Any) -> None:
    """Write the table of results."""
    from restem.stages import table as stage

    outputs = {path.suffix[1:]: path for path in output}
    body = lambda job: stage.run(job, summary, lifts, outputs)  # noqa: E731
    _make("table", options, {"summary": summary, "lifts": lifts}, outputs, body)


@_stage
@_list("--policies", "policy.json of every policy.")
@click.option("--summary", type=FILE, required=True)
@_list("--tables", "Tables to attach to every run.", required=False)
@click.option("--output", type=FILE, required=True)
def tracking(
    policies: Sequence[Path], summary: Path, tables: Sequence[Path], output: Path, **options: Any
) -> None:
    """Tell MLflow about every policy; a server that is down loses nothing."""
    from restem.stages import tracking as stage

    def body(job: Job) -> None:
        stage.run(job, policies, summary, tables, output)

    inputs = {"policies": policies, "summary": summary, "tables": tables}
    _make("tracking", options, inputs, {"published": output}, body)


@_stage
@click.option("--estimates", type=FILE, required=True, help="Summary, breakdown or audit.")
@_list("--output", "The figure as PDF, SVG and PNG.")
def plot(estimates: Path, output: Sequence[Path], **options: Any) -> None:
    """Draw one figure of an experiment."""
    from restem.stages import plot as stage

    outputs = {path.suffix[1:]: path for path in output}
    body = lambda job: stage.run(job, estimates, outputs)  # noqa: E731
    _make("plot", options, {"estimates": estimates}, outputs, body)


@_stage
@click.option("--output", type=FILE, required=True)
def methods(output: Path, **options: Any) -> None:
    """Write the table of methods by property, from the presets themselves."""
    from restem.stages import methods as stage

    _make("methods", options, {}, {"markdown": output}, lambda job: stage.run(job, output))


@_stage
@_list("--figures", "Figures as SVG, in the order of the settings.", required=False)
@click.option("--claims", type=FILE, required=True)
@click.option("--ledger", type=FILE, required=True)
@click.option("--methods", type=FILE, required=True)
@click.option("--output", type=FILE, required=True)
def page(
    figures: Sequence[Path],
    claims: Path,
    ledger: Path,
    methods: Path,
    output: Path,
    **options: Any,
) -> None:
    """Write the page that shows figures, claims and costs."""
    from restem.stages import page as stage

    inputs = {"figures": figures, "claims": claims, "ledger": ledger, "methods": methods}
    body = lambda job: stage.run(job, figures, claims, ledger, methods, output)  # noqa: E731
    _make("page", options, inputs, {"page": output}, body)


@cli.command()
@click.argument("results", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--output", type=FILE, required=True, help="The archive, a .tar.gz.")
def archive(results: Path, output: Path) -> None:
    """Bundle the estimates of a study (results/<study>), so that figures rebuild anywhere."""
    from restem.tools.archive import archive as pack

    digests = pack(results, output)
    click.echo(f"{output}: {len(digests)} files, sha256 {file_digest(output)}")


@cli.command()
@click.argument("bundle", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), required=True)
@click.pass_context
def redraw(context: click.Context, bundle: Path, output: Path) -> None:
    """Unpack an archive, check it, and draw all of its figures again; nothing else is run."""
    from restem.tools.archive import commands, unpack

    manifest = unpack(bundle, output)
    for command in commands(manifest, output):
        cli.main([*command], standalone_mode=False, prog_name="restem")
