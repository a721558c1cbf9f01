"""Fine-tune a policy while its validation reward improves (Algorithm 1, the M-step)."""

import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from restem.config.training import Training
from restem.errors import RestemError
from restem.sampling.tokens import context_tokens
from restem.training.batches import Batch, collate, epoch_order
from restem.training.checkpoints import load_policy, save_policy
from restem.training.examples import Encoded, Example, encoded
from restem.training.loss import weighted_nll
from restem.training.report import TrainingReport, Validation, peak_memory_bytes
from restem.training.schedule import rate_share, validation_steps

_BETAS: Final = (0.9, 0.95)

Validate = Callable[[PreTrainedModel, PreTrainedTokenizerBase], float]


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
) -> TrainingReport:
    """Fit the weights at `start` to the examples and save a checkpoint directory at `out`.

    validate: returns the reward of a model in evaluation mode. The same arguments and thread count
    give the same bytes on one CPU; a GPU does not promise that. Raises EmptyExamples, and
    RestemError when the loss is not finite.
    """
    began = time.monotonic()
    with _reproducible(seed, threads):
        model, tokenizer = load_policy(start)
        rows, skipped = encoded(examples, tokenizer, settings, context_tokens(model))
        run = _Run(model.to(device), tokenizer, rows, settings, validate, progress)
        run.report.skipped = skipped
        run.train(random.Random(seed))
        save_policy(model, tokenizer, out)
    run.report.wall_seconds = time.monotonic() - began
    run.report.peak_memory_bytes = peak_memory_bytes(model.device)
    return run.report


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


class _Run:
    """Hold the state of one fine-tuning run."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        rows: list[Encoded],
        settings: Training,
        validate: Validate,
        progress: Callable[[str], object],
    ) -> None:
        self.model, self.tokenizer, self.rows = model, tokenizer, rows
        self.settings, self.validate, self.progress = settings, validate, progress
        self.steps_per_epoch = math.ceil(len(rows) / settings.batch_size)
        steps = settings.steps or settings.epochs_max * self.steps_per_epoch
        self.epochs = math.ceil(steps / self.steps_per_epoch)
        self.report = TrainingReport(len(rows), {}, steps)
        self.optimizer = _optimizer(model, settings)
        self.kept: dict[str, torch.Tensor] = {}

    def train(self, rng: random.Random) -> None:
        """Take steps until the end or until validation stops improving; leave the kept weights."""
        all_passes = self.settings.model_copy(update={"epochs_max": self.epochs})
        due = validation_steps(all_passes, self.steps_per_epoch) | {self.report.steps_planned}
        self._validate()
        for _ in range(self.epochs):
            for batch in epoch_order(self.rows, self.settings.batch_size, rng):
                if self.report.steps == self.report.steps_planned:
                    return self._restore()
                self._step(collate(batch))
                if self.report.steps in due:
                    self._validate()
                    if self._exhausted():
                        return self._restore()
        return self._restore()

    def _step(self, batch: Batch) -> None:
        step = self.report.steps
        rate = self.settings.learning_rate * rate_share(
            self.settings, step, self.report.steps_planned
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss = weighted_nll(self.model, batch.to(self.model.device), self.settings.normalise)
        self._record(batch, loss.item())
        loss.backward()  # type: ignore[no-untyped-call]
        if self.settings.gradient_clip:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.gradient_clip)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def _record(self, batch: Batch, loss: float) -> None:
        if not math.isfinite(loss):
            raise RestemError(
                f"the training loss is {loss}",
                f"step {self.report.steps + 1} of {self.report.steps_planned}",
                "lower training.learning_rate, or look for a broken example or start checkpoint",
            )
        self.report.losses.append(loss)
        _count(self.report, batch)

    def _validate(self) -> None:
        self.model.eval()
        with torch.random.fork_rng(), torch.no_grad():
            reward = self.validate(self.model, self.tokenizer)
        self.model.train()
        best = max((v.reward for v in self.report.validations), default=-math.inf)
        self.report.validations.append(Validation(self.report.steps, reward))
        self.progress(
            f"step {self.report.steps} of {self.report.steps_planned}: "
            f"validation reward {reward:.4f}{_recent_loss(self.report)}"
        )
        if self.settings.stop == "epochs" or reward > best:
            self._keep()

    def _keep(self) -> None:
        self.report.kept_step = self.report.steps
        if self.settings.stop == "validation_reward":
            state = self.model.state_dict()
            self.kept = {name: value.detach().cpu().clone() for name, value in state.items()}

    def _exhausted(self) -> bool:
        if self.settings.stop == "epochs":
            return False
        after = [v for v in self.report.validations if v.step > self.report.kept_step]
        stopped = len(after) >= self.settings.patience
        if stopped:
            self.report.ended = "no_improvement"
        return stopped

    def _restore(self) -> None:
        if self.kept:
            self.model.load_state_dict(self.kept)
        self.model.eval()


def _optimizer(model: Any, settings: Training) -> torch.optim.Optimizer:
    matrices = [p for p in model.parameters() if p.requires_grad and p.ndim >= 2]
    others = [p for p in model.parameters() if p.requires_grad and p.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=_BETAS, fused=True)


def _count(report: TrainingReport, batch: Batch) -> None:
    targets, prompts = int(batch.is_target.sum()), int(batch.is_prompt.sum())
    report.tokens.prefix += len(batch.prefix)
    report.tokens.prompt += prompts
    report.tokens.target += targets
    report.tokens.padding += batch.ids.numel() - targets - prompts


def _recent_loss(report: TrainingReport) -> str:
    recent = report.losses[-20:]
    return f", loss {sum(recent) / len(recent):.4f}" if recent else ""
