"""Fine-tune weights on the examples while the validation reward improves (Algorithm 1)."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import torch

from restem.artifacts.digests import digest
from restem.artifacts.files import read_json, write_json, write_text
from restem.artifacts.progress import ProgressFile
from restem.artifacts.seals import state_folder
from restem.artifacts.store import Job
from restem.errors import RestemError
from restem.policies.card import write_card
from restem.policies.checkpoint import with_dtype
from restem.policies.manifest import CHECKPOINT, PolicyManifest, read_policy, verify_checkpoint
from restem.sampling.loading import device
from restem.sampling.prompts import PromptForm, Prompts
from restem.sampling.transformers.engine import TransformersEngine
from restem.tasks.problem import read_problems
from restem.tasks.registry import load_task
from restem.training.examples import in_form
from restem.training.launch import nodes_of_job, torchrun
from restem.training.loop import fine_tune
from restem.training.m_steps import MStepInputs
from restem.training.state import StateStore
from restem.training.validation import Validation, open_validation, require_problems

_OF_THE_CLOCK: Final = ("wall_seconds", "validation_seconds", "peak_memory_bytes")


def make(job: Job, inputs: MStepInputs, start: PolicyManifest) -> dict[str, Any]:
    """Put the checkpoint in its place; return the report of the fine-tuning."""
    verify_checkpoint(start)
    training = inputs.settings.training
    if training.validations_planned:
        require_problems(inputs.validation_problems(), ", ".join(map(str, inputs.validation)))
    # Another number of threads rounds differently: a state of one is no state of the other.
    key = digest([job.recipe.key, inputs.threads])
    report = trained(inputs, key) if training.processes == 1 else _launched(inputs, key)
    # What the clock decides is no part of the policy: equal work gives equal bytes.
    job.notes |= {name: report.pop(name) for name in _OF_THE_CLOCK}
    partial = _partial(inputs)
    write_card(partial, training.model_dump(exclude_defaults=True), report, job.provenance)
    shutil.rmtree(inputs.checkpoint, ignore_errors=True)  # Snakemake may have removed it
    partial.rename(inputs.checkpoint)
    rewards = [point["reward"] for point in report["validations"]]
    validated = f", validation reward {max(rewards):.3f}" if rewards else ""
    print(f"policy: {len(report['losses'])} steps{validated}{_time(job.notes)}", flush=True)
    for remark in remarks(report):
        print(f"policy: {remark}", flush=True)
    return report


def remarks(report: Mapping[str, Any]) -> Iterator[str]:
    """Say what a person should look at: a loss that rose, training that did not help."""
    losses = report["losses"]
    part = len(losses) // 4
    if part:
        before, after = (sum(some) / part for some in (losses[:part], losses[-part:]))
        if after > before > 0:  # examples with negative weights may have a negative loss
            yield (
                f"the loss rose from {before:.4f} to {after:.4f}; a smaller learning_rate or a "
                "larger warmup_share may help"
            )
    if len(report["validations"]) > 1 and report["kept_step"] == 0:
        yield "no validation was better than that of the starting weights, which are kept"


def _time(notes: Mapping[str, Any]) -> str:
    """Say how long a fine-tuning took, and how much of that its validations."""
    seconds = notes["wall_seconds"]
    return f"; {seconds:.0f} s, {notes['validation_seconds'] / seconds:.0%} of it in validations"


def _partial(inputs: MStepInputs) -> Path:
    """Return the folder in which the checkpoint is made."""
    return inputs.output.parent / f".{CHECKPOINT}.partial"


def trained(inputs: MStepInputs, key: str) -> dict[str, Any]:
    """Train into a folder beside the output; return the report. key: names the saved state."""
    settings, task = inputs.settings, load_task(inputs.settings.task)
    start = read_policy(inputs.start)
    form = Prompts(settings.prompt, task, read_problems(inputs.shots), start.checkpoint).form()
    examples = in_form(inputs.kept(), form, task, settings.training.thoughts)
    partial = _partial(inputs)
    shutil.rmtree(partial, ignore_errors=True)
    problems = inputs.validation_problems()
    opened: AbstractContextManager[Validation | None] = nullcontext()  # never validates
    if settings.validation:
        opened = open_validation(settings, problems, start.forward)
    with opened as validation:
        # Of sharded weights no process has a copy; they are validated as they are.
        sharded = settings.training.shard == "weights"
        dtype = None if sharded else getattr(torch, settings.engine.dtype)
        validate = ModelReward(validation, form, settings.engine.rows, dtype)
        report = fine_tune(
            start.checkpoint,
            examples,
            settings.training,
            settings.seed,
            inputs.threads,
            validate,
            partial,
            lambda line: print(f"policy: {line}", flush=True),
            device(settings.engine.device),
            StateStore(inputs.scratch, key, inputs.save_seconds),
            ProgressFile(inputs.output).add,
        )
    return asdict(report)


class ModelReward:
    """The validation reward of a model under one form of prompts; flops: of the last time.

    dtype: of the weights to sample from, as the engine will have them; None: as they are.
    """

    def __init__(
        self,
        validation: Validation | None,
        form: PromptForm,
        rows: int,
        dtype: torch.dtype | None = None,
    ) -> None:
        self._validation, self._form, self._rows = validation, form, rows
        self._dtype, self.flops = dtype, 0.0

    def __call__(self, model: Any, tokenizer: Any) -> float:
        """Return the mean reward of a model."""
        assert self._validation is not None, "an M-step that never validates was asked to"
        before = self._validation.flops
        sampled = model if self._dtype is None else with_dtype(model, self._dtype)
        engine = TransformersEngine(sampled, tokenizer, self._rows)
        reward = self._validation.reward(engine, self._form)
        self.flops = self._validation.flops - before
        return reward


def _launched(inputs: MStepInputs, key: str) -> dict[str, Any]:
    """Train in several processes under torchrun; return the report."""
    folder = state_folder(inputs.output)
    request, answer = folder / "work.json", folder / "report.json"
    write_text(request, inputs.model_dump_json())
    count = inputs.settings.training.processes
    command, variables = torchrun(count, nodes_of_job())
    command += ["-m", __name__, str(request), key, str(answer)]
    running = subprocess.Popen(command, env=variables | {"OMP_NUM_THREADS": str(inputs.threads)})
    try:
        code = running.wait()
    finally:
        running.terminate()
        running.wait()
    if code:
        raise RestemError(
            f"a process of the fine-tuning ended with code {code}",
            f"training.processes = {count}",
            "see its message above; the same command goes on from the last saved state",
        )
    report = read_json(answer)
    for path in (request, answer):
        path.unlink()
    return report


def _take_part(request: Path, key: str, answer: Path) -> None:
    """Do the work of one process; the first process writes the report."""
    inputs = MStepInputs.model_validate_json(request.read_text())
    devices = device(inputs.settings.engine.device) == "cuda" and accelerators()
    if devices and devices < inputs.settings.training.processes:
        raise RestemError(
            f"{inputs.settings.training.processes} processes but only {devices} accelerators",
            "training.processes",
            "use at most one process for each accelerator",
        )
    report = trained(inputs, key)
    if os.environ["RANK"] == "0":
        write_json(answer, report)


def accelerators() -> int:
    """Count the accelerators of this machine."""
    return torch.cuda.device_count()


if __name__ == "__main__":
    try:
        _take_part(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
    except RestemError as problem:
        print(f"restem: {problem}", file=sys.stderr, flush=True)
        raise SystemExit(1) from None
