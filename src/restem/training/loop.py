"""Fine-tune a policy while its validation reward improves (Algorithm 1, the M-step)."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from restem.config.training import Training
from restem.policies.checkpoint import load_policy, save_policy
from restem.sampling.loading import peak_memory_bytes
from restem.sampling.tokens import context_tokens
from restem.training.examples import Example, encode_examples
from restem.training.lora import require_whole, save_alone, save_merged, with_adapters
from restem.training.parallel import join_processes
from restem.training.run import TrainingReport, TrainingRun, Validate
from restem.training.state import StateStore


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
    store: StateStore | None = None,
    record: Callable[..., object] = lambda **_: None,
) -> TrainingReport:
    """Fit the weights at `start` to the examples and save a checkpoint directory at `out`.

    validate: returns the reward of a model in evaluation mode. store: where the run saves its
    state, and finds that of a run that was killed. record: is told the measurements of each step.
    The same arguments and thread count give the same bytes on one CPU, killed or not; on a GPU they
    may differ. Under torchrun all processes call this; the first one saves. Raises EmptyExamples,
    and RestemError if the loss is not finite.
    """
    started = time.monotonic()
    with _reproducible(seed, threads), join_processes(device, settings.shard) as processes:
        if settings.lora and not settings.lora.merged:
            require_whole(start)
        with processes.loading():
            model, tokenizer, adapted = _load(start, settings)
            processes.place(model)
        encoded, skipped = encode_examples(examples, tokenizer, settings, context_tokens(model))
        run = TrainingRun(
            model, tokenizer, encoded, settings, seed, validate, progress, record, store, processes
        )
        run.report.skipped = skipped
        run.train()
        full_weights = processes.full_weights()
        if processes.rank == 0:
            if full_weights is not None:
                model, tokenizer, adapted = _load(start, settings)
                # Of a model with adapters only these were trained; the others are as at the start.
                left_over = model.load_state_dict(full_weights, strict=False).unexpected_keys
                assert not left_over, f"weights of no layer: {left_over}"
            saved = getattr(torch, settings.save_dtype)
            if adapted is None:
                save_policy(model.to(saved), tokenizer, out)
            elif settings.lora and settings.lora.merged:
                save_merged(adapted.to(saved), tokenizer, start, out)
            else:
                save_alone(adapted, tokenizer, start, out)
    run.report.validation_seconds = run.validation_seconds
    run.report.wall_seconds = time.monotonic() - started
    run.report.peak_memory_bytes = peak_memory_bytes(processes.device)
    return run.report


def _load(start: Path, settings: Training) -> tuple[Any, Any, Any]:
    """Return model, tokenizer, and the model with adapters around it, if there are any."""
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
