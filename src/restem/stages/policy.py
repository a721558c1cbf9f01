"""Stage policy: the M-step (Algorithm 1): make the next policy out of the examples."""

import importlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from restem.artifacts.progress import ProgressFile
from restem.artifacts.schemas.loop import EXAMPLES, HUMAN, KEPT
from restem.artifacts.store import Job
from restem.artifacts.tables import read_rows
from restem.policies.manifest import read_policy, write_policy
from restem.stages.declaration import (
    InputFile,
    InputFiles,
    OutputFile,
    OutputFolder,
    Resource,
    stage,
)
from restem.training.m_steps import MStepInputs, Settings


@stage(
    lock="training",
    engine=lambda settings: settings.m_step.kind == "prompt",
    help={
        "start": "policy.json of the weights to start from.",
        "averaged_with": "policy.json of the weights to average with.",
        "validation": "Problems to measure the reward on; none if it is never measured.",
        "save_seconds": "Time between two saves of the state.",
        "output": "policy.json",
    },
)
def run(
    job: Job,
    settings: Settings,
    examples: InputFile,
    start: InputFile,
    shots: InputFile,
    averaged_with: InputFiles = (),
    validation: InputFiles = (),
    *,
    threads: Annotated[int, Resource] = 1,
    save_seconds: Annotated[float, Resource] = 600.0,
    output: OutputFile,
    checkpoint: OutputFolder,
) -> None:
    """Make a policy of examples (M-step): fine-tuned weights, a prompt, or averaged weights.

    Without examples the policy is halted.
    """
    inputs = MStepInputs(
        settings=settings,
        examples=examples,
        start=start,
        averaged_with=tuple(averaged_with),
        validation=tuple(validation),
        shots=shots,
        threads=threads,
        save_seconds=save_seconds,
        output=output,
        checkpoint=checkpoint,
    )
    manifest = read_policy(start)
    reason = manifest.halted or _no_examples(settings, inputs.kept())
    if checkpoint.exists():
        shutil.rmtree(checkpoint)
    checkpoint.mkdir(parents=True)
    if reason:
        write_policy(output, job.provenance, {"examples": 0}, halted=reason)
        print(f"policy: halted, {reason}", flush=True)
        return
    m_step = importlib.import_module(f"restem.training.m_steps.{settings.m_step.kind}")
    with ProgressFile(output).of(job.recipe):
        report = m_step.make(job, inputs, manifest) | _references(inputs.examples)
    write_policy(output, job.provenance, report)
    shutil.rmtree(inputs.scratch, ignore_errors=True)


def _no_examples(settings: Settings, examples: Sequence[dict[str, Any]]) -> str | None:
    if examples or settings.m_step.kind == "interpolate":
        return None
    return "no completion was correct: no example is left"


def _references(examples: Path) -> dict[str, Any]:
    """Count the problems and their reference solutions, if only some of them have one."""
    rows = [r for r in read_rows(examples, EXAMPLES) if r["source"].startswith(f"{HUMAN}:")]
    kept = sum(row["decision"] == KEPT for row in rows)
    return {"references": {"solutions": kept, "problems": len(rows)}} if kept < len(rows) else {}
