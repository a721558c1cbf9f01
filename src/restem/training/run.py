"""Take optimiser steps until the end, or until the validation reward stops improving."""

import math
import random
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from typing import Any, Final

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from restem.config.training import Training
from restem.errors import RestemError
from restem.training.batches import epoch_order
from restem.training.examples import Encoded
from restem.training.flops import Cost
from restem.training.loss import accumulate
from restem.training.packs import Pack, loss_mass, packs
from restem.training.parallel import Group
from restem.training.report import Tokens, TrainingReport, Validation
from restem.training.schedule import rate_share, validation_steps
from restem.training.state import Interrupted, Keeper, Signals

_BETAS: Final = (0.9, 0.95)

Validate = Callable[[PreTrainedModel, PreTrainedTokenizerBase], float]


class Run:
    """Hold one fine-tuning run; all of its state is in the weights, the optimiser and the report.

    What comes next follows from the report alone, so a run can stop after any step and go on.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        rows: Sequence[Encoded],
        settings: Training,
        seed: int,
        validate: Validate,
        progress: Callable[[str], object],
        keeper: Keeper | None,
        processes: Group | None = None,
    ) -> None:
        self.model, self.tokenizer, self.rows = model, tokenizer, rows
        self.settings, self.seed = settings, seed
        self.validate, self.progress = validate, progress
        self.steps_per_epoch = math.ceil(len(rows) / settings.batch_size)
        steps = settings.steps or settings.epochs_max * self.steps_per_epoch
        self.report = TrainingReport(len(rows), {}, steps)
        self.processes = processes or Group()
        self.trained = self.processes.trained(model)
        self.keeper = keeper and self.processes.own(keeper)
        parameters = list(self.trained.values())
        self.owners = self.processes.owner(parameters)
        pairs = zip(parameters, self.owners, strict=True)
        mine = [parameter for parameter, owner in pairs if owner == self.processes.rank]
        self.optimizer = _optimizer(mine, settings)
        self.kept: dict[str, torch.Tensor] = {}
        self.cost = Cost.of(model, settings)
        self.signals = Signals()

    def train(self) -> None:
        """Take the steps that are left; leave the kept weights. Raises Interrupted on SIGTERM."""
        self._resume()
        self.model.train()
        with self.signals.noted():
            try:
                self._steps()
            except Interrupted:
                self._save()
                raise
        if self.kept:
            self._set_weights(self.kept)
        self.model.eval()

    def _steps(self) -> None:
        epochs = math.ceil(self.report.steps_planned / self.steps_per_epoch)
        all_passes = self.settings.model_copy(update={"epochs_max": epochs})
        due = validation_steps(all_passes, self.steps_per_epoch)
        due |= {0, self.report.steps_planned}
        order = _Order(self.rows, self.settings, self.seed, self.steps_per_epoch)
        while True:
            validated = any(v.step == self.report.steps for v in self.report.validations)
            if self.report.steps in due and not validated:
                self._validate()
            self._obey_signals()
            if self._exhausted() or self.report.steps == self.report.steps_planned:
                return
            self._step(order.batch(self.report.steps))

    def _obey_signals(self) -> None:
        """Save or end where all processes stand at the same step."""
        save = self.signals.save or (self.keeper is not None and self.keeper.due)
        save, self.signals.end = self.processes.any(save, self.signals.end)
        if save:
            self._save()
        self.signals.check()

    def _step(self, batch: Sequence[Encoded]) -> None:
        step = self.report.steps
        rate = self.settings.learning_rate * rate_share(
            self.settings, step, self.report.steps_planned
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        mass = loss_mass(batch, self.settings.normalise)
        laid_out = packs(
            self.processes.part(batch), self.settings, mass, self.processes.far_prefixes
        )
        laid_out = self.processes.level(laid_out, self.settings.layout == "padded")
        self.model.zero_grad()
        (loss,) = self.processes.total([self._accumulate(laid_out)])
        self._check(loss, "loss")
        self.processes.sum_gradients(list(self.trained.values()))
        norm = self.processes.norm([p.grad for p in self.trained.values() if p.grad is not None])
        limit = self.settings.gradient_clip or math.inf
        torch.nn.utils.clip_grads_with_norm_(self.trained.values(), limit, norm)
        self._check(norm.item(), "gradient's norm")
        self.optimizer.step()
        self.processes.spread(list(self.trained.values()), self.owners)
        self.report.losses.append(loss)
        self.report.gradient_norms.append(norm.item())
        self._count(laid_out)

    def _count(self, laid_out: Sequence[Pack]) -> None:
        """Add what this step computed, in all processes together; float64 counts exactly."""
        counts = self.processes.total([self.cost.step(laid_out), *_counts(laid_out)])
        flops, prefix, prompt, target, padding, passes = map(int, counts)
        self.report.flops += flops
        self.report.passes += passes
        tokens = self.report.tokens
        self.report.tokens = Tokens(
            tokens.prefix + prefix,
            tokens.prompt + prompt,
            tokens.target + target,
            tokens.padding + padding,
        )

    def _accumulate(self, laid_out: Sequence[Pack]) -> float:
        device = self.model.device.type
        # One of several processes may not leave a step that the others finish.
        between = self.signals.check if self.processes.size == 1 else lambda: None
        with torch.autocast(device, torch.bfloat16, enabled=self.settings.dtype == "bfloat16"):
            return accumulate(self.model, laid_out, between)

    def _check(self, value: float, name: str) -> None:
        if not math.isfinite(value):
            raise RestemError(
                f"the training {name} is {value}",
                f"step {self.report.steps + 1} of {self.report.steps_planned}",
                "lower training.learning_rate, or look for a broken example or start checkpoint",
            )

    def _validate(self) -> None:
        self.model.eval()
        alone = self.processes.size == 1
        anywhere = self.signals.obeyed_anywhere() if alone else nullcontext()
        with anywhere, torch.random.fork_rng(), torch.no_grad():
            reward = self.processes.said(lambda: self.validate(self.model, self.tokenizer))
        self.model.train()
        best = max((v.reward for v in self.report.validations), default=-math.inf)
        self.report.validations.append(Validation(self.report.steps, reward))
        self._tell(
            f"step {self.report.steps} of {self.report.steps_planned}: "
            f"validation reward {reward:.4f}{_recent_loss(self.report)}"
        )
        if self.settings.stop == "epochs" or reward > best:
            self._keep()

    def _keep(self) -> None:
        self.report.kept_step = self.report.steps
        if self.settings.stop == "validation_reward" and self.processes.keeps:
            self.kept = {name: p.detach().cpu().clone() for name, p in self.trained.items()}

    def _exhausted(self) -> bool:
        if self.settings.stop == "epochs":
            return False
        after = [v for v in self.report.validations if v.step > self.report.kept_step]
        stopped = len(after) >= self.settings.patience
        if stopped:
            self.report.ended = "no_improvement"
        return stopped

    def _set_weights(self, weights: dict[str, torch.Tensor]) -> None:
        with torch.no_grad():
            for name, parameter in self.trained.items():
                parameter.copy_(weights[name])

    def _save(self) -> None:
        if self.keeper is None:
            return
        self.signals.save = False
        device = self.model.device
        own = {
            "optimizer": self.optimizer.state_dict(),
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        }
        all_own = self.processes.gathered(own)
        if all_own:
            whole = {"report": asdict(self.report), "weights": dict(self.trained)}
            state = {**whole, "kept": self.kept, "processes": all_own}
            self.keeper.save(state, self.processes.meet)

    def _tell(self, line: str) -> None:
        if self.processes.rank == 0:
            self.progress(line)

    def _resume(self) -> None:
        state = self._newest() if self.keeper else None
        if state is None:
            return
        self.report = TrainingReport.of(state["report"])
        self._set_weights(state["weights"])
        self.kept = state["kept"]
        own = state["processes"][self.processes.place]
        self.optimizer.load_state_dict(own["optimizer"])
        torch.set_rng_state(own["random"])
        if own["random_cuda"] is not None:
            torch.cuda.set_rng_state(own["random_cuda"], self.model.device)
        self._tell(f"resumed after step {self.report.steps} of {self.report.steps_planned}")

    def _newest(self) -> dict[str, Any] | None:
        """Return the newest state that all processes have: a kill may have left one behind."""
        assert self.keeper is not None
        states = self.keeper.states()
        state = next(states, None)
        least = self.processes.least(_steps(state))
        while _steps(state) > least:
            state = next(states, None)
        (differ,) = self.processes.any(_steps(state) != least)
        return None if differ else state


class _Order:
    """Find the batch of any step; an epoch's order follows from the seed and those before it."""

    def __init__(
        self, rows: Sequence[Encoded], settings: Training, seed: int, steps_per_epoch: int
    ) -> None:
        self._rows, self._settings, self._seed = rows, settings, seed
        self._steps_per_epoch = steps_per_epoch
        self._rng = random.Random(seed)
        self._epoch = -1
        self._batches: list[list[Encoded]] = []

    def batch(self, step: int) -> list[Encoded]:
        """Return the examples of a step; steps must not go back."""
        epoch, place = divmod(step, self._steps_per_epoch)
        while self._epoch < epoch:
            settings = self._settings
            self._batches = epoch_order(
                self._rows, settings.batch_size, self._rng, settings.shuffle
            )
            self._epoch += 1
        return self._batches[place]


def _steps(state: dict[str, Any] | None) -> int:
    """Count the steps of a state; -1 for none."""
    return -1 if state is None else len(state["report"]["losses"])


def _optimizer(parameters: Sequence[torch.Tensor], settings: Training) -> torch.optim.Optimizer:
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=_BETAS, fused=True)


def _counts(laid_out: Sequence[Pack]) -> list[int]:
    """Count prefix, prompt, target and padding tokens, and passes."""
    passes = [one for pack in laid_out for one in pack.passes]
    prefix = sum(len(pack.prefix) for pack in laid_out) + sum(one.prefix for one in passes)
    prompt = sum(one.prompts for one in passes)
    target = sum(len(one.labels) for one in passes)
    return [prefix, prompt, target, sum(one.padding for one in passes), len(passes)]


def _recent_loss(report: TrainingReport) -> str:
    recent = report.losses[-20:]
    return f", loss {sum(recent) / len(recent):.4f}" if recent else ""
