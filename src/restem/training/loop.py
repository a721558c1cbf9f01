"""Fine-tune a policy while its validation reward improves (Algorithm 1, the M-step)."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from restem.config.training import Training
from restem.policies.checkpoint import load_policy, save_policy
from restem.sampling.tokens import context_tokens
from restem.training.examples import Example, encoded
from restem.training.lora import require_whole, save_alone, save_merged, with_adapters
from restem.training.parallel import group
from restem.training.report import TrainingReport, peak_memory_bytes
from restem.training.run import Run, Validate
from restem.training.state import Keeper


def fine_tune(
    start: Path,
    examples: Sequence[Example],
    settings: Training,
    seed: int,
    threads: int,
    validate: Validate,
    out: Path,
    progress: Callable[[str], object],
    device: str = "cpu",
    keeper: Keeper | None = None,
) -> TrainingReport:
    """Fit the weights at `start` to the examples and save a checkpoint directory at `out`.

    validate: returns the reward of a model in evaluation mode. keeper: saves the run's state, and
    lets a run that was killed go on. The same arguments and thread count give the same bytes on one
    CPU, killed or not; a GPU does not promise that. Under torchrun, all processes call this; the
    first one validates and saves. Raises EmptyExamples, and RestemError when the
    loss is not finite.
    """
    began = time.monotonic()
    with _reproducible(seed, threads), group(device, settings.shard) as processes:
        if settings.lora and not settings.lora.merged:
            require_whole(start)
        with processes.in_turn():
            model, tokenizer, adapted = _loaded(start, settings)
            processes.hold(model)
        rows, skipped = encoded(examples, tokenizer, settings, context_tokens(model))
        run = Run(model, tokenizer, rows, settings, seed, validate, progress, keeper, processes)
        run.report.skipped = skipped
        run.train()
        fitted = processes.whole()
        if processes.rank == 0:
            if fitted is not None:
                model, tokenizer, adapted = _loaded(start, settings)
                model.load_state_dict(fitted, strict=False)
            if adapted is None:
                save_policy(model, tokenizer, out)
            else:
                save = save_merged if settings.lora and settings.lora.merged else save_alone
                save(adapted, tokenizer, start, out)
    run.report.wall_seconds = time.monotonic() - began
    run.report.peak_memory_bytes = peak_memory_bytes(torch.device(processes.device))
    return run.report


def _loaded(start: Path, settings: Training) -> tuple[Any, Any, Any]:
    """Return model, tokenizer, and the model with adapters around it where there are any."""
    model, tokenizer = load_policy(start)
    if settings.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return model, tokenizer, with_adapters(model, settings.lora) if settings.lora else None


@contextmanager
def _reproducible(seed: int, threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(before)
