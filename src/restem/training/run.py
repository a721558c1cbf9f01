"""Take optimiser steps until the last one, or until the validation reward stops improving."""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

import torch

from restem.config.training import Training
from restem.errors import RestemError
from restem.libraries import transformers
from restem.sampling.loading import memory_in_use
from restem.training.examples import Encoded
from restem.training.flops import TrainingFlops
from restem.training.loss import accumulate, follows_trees
from restem.training.packs import Pack, loss_mass, packs, step_mass
from restem.training.parallel import Processes
from restem.training.schedule import BatchOrder, rate_factor, validation_steps
from restem.training.state import Interrupted, Signals, StateStore

_BETAS: Final = (0.9, 0.95)

Validate = Callable[[transformers.PreTrainedModel, transformers.PreTrainedTokenizerBase], float]
"""Return the reward of a model. It may have an attribute `flops`: those of its last call."""


@dataclass(frozen=True)
class Validation:
    """The reward on the validation split after a step; flops: of its completions."""

    step: int
    reward: float
    flops: int = 0


@dataclass
class Tokens:
    """Count the tokens that went through the model.

    prefix: shared prefixes, once per step where they are shared; prompt: the rest of the prompts;
    target: tokens with loss; padding: what filled up rows.
    """

    prefix: int = 0
    prompt: int = 0
    target: int = 0
    padding: int = 0

    @property
    def computed(self) -> int:
        """Return how many tokens went through the model, without padding."""
        return self.prefix + self.prompt + self.target


@dataclass
class TrainingReport:
    """What a fine-tuning did, what it cost and what it skipped.

    losses: of each step, per target token (`normalise: example`: per example). gradient_norms: of
    the step's objective (see `loss`), before clipping. flops: see `TrainingFlops`. kept_step: the
    step whose weights were saved, 0 for the starting weights. wall_seconds, validation_seconds: of
    the job that ended the fine-tuning, in all and for validations. peak_memory_bytes: of torch's
    allocations on a GPU, of the process on a CPU.
    """

    examples: int
    skipped: dict[str, int]
    steps_planned: int
    losses: list[float] = field(default_factory=list)
    gradient_norms: list[float] = field(default_factory=list)
    validations: list[Validation] = field(default_factory=list)
    kept_step: int = 0
    ended: Literal["epochs", "no_improvement"] = "epochs"
    tokens: Tokens = field(default_factory=Tokens)
    passes: int = 0
    flops: int = 0
    wall_seconds: float = 0.0
    validation_seconds: float = 0.0
    peak_memory_bytes: int = 0

    @classmethod
    def of(cls, stored: dict[str, Any]) -> "TrainingReport":
        """Return the report that was stored as a dictionary."""
        validations = [Validation(**validation) for validation in stored["validations"]]
        nested = {"validations": validations, "tokens": Tokens(**stored["tokens"])}
        return cls(**{**stored, **nested})

    @property
    def steps(self) -> int:
        """Return the number of optimiser steps taken."""
        return len(self.losses)

    def add_passes(self, step_packs: Sequence[Pack], flops: int, processes: Processes) -> None:
        """Add what a step computed, in all processes together; float64 counts exactly."""
        passes = [one_pass for pack in step_packs for one_pass in pack.passes]
        counts = (
            flops,
            len(passes),
            sum(len(pack.prefix) for pack in step_packs) + sum(p.prefix for p in passes),
            sum(p.prompts for p in passes),
            sum(len(p.labels) for p in passes),
            sum(p.padding for p in passes),
        )
        flops, count, prefix, prompt, target, padding = map(int, processes.total(counts))
        self.flops += flops
        self.passes += count
        self.tokens.prefix += prefix
        self.tokens.prompt += prompt
        self.tokens.target += target
        self.tokens.padding += padding


class TrainingRun:
    """One fine-tuning run; its whole state is in the weights, the optimiser and the report.

    The next action follows from the report alone, so a run can stop after any step and go on.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        examples: Sequence[Encoded],
        settings: Training,
        seed: int,
        validate: Validate,
        progress: Callable[[str], object],
        record: Callable[..., object],
        store: StateStore | None,
        processes: Processes,
    ) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.settings, self.processes = settings, processes
        self.validate, self.progress, self.record = validate, progress, record
        self.order = BatchOrder(examples, settings, seed)
        self.mass = step_mass(examples, settings.batch_size, settings.normalise)
        steps = settings.steps or settings.epochs_max * self.order.steps_per_epoch
        self.report = TrainingReport(len(examples), {}, steps)
        self.weights = processes.trained_weights(model)
        self.store = store and processes.own_store(store)
        parameters = list(self.weights.values())
        self.owners = processes.owners(parameters)
        pairs = zip(parameters, self.owners, strict=True)
        self.optimizer = _optimizer([p for p, owner in pairs if owner == processes.rank], settings)
        self.best_weights: dict[str, torch.Tensor] = {}
        self.flops = TrainingFlops.of(model, settings)
        self.signals = Signals()
        self.validation_seconds = 0.0

    def train(self) -> None:
        """Take the remaining steps; leave the weights to keep. Raises Interrupted on SIGTERM."""
        self._resume()
        self.model.train()
        self._choose_layout()
        with self.signals.handled():
            try:
                self._take_steps()
            except Interrupted:
                self._save()
                raise
        if self.best_weights:
            self._set_weights(self.best_weights)
        self.model.eval()

    def _choose_layout(self) -> None:
        """Leave attention to models whose layers cannot attend along trees, and say so."""
        layout = self.settings.layout
        with self._autocast():
            if layout == "padded" or follows_trees(self.model):
                return
        self.progress(
            f"layout padded instead of {layout}: attention in {type(self.model).__name__} "
            "is not plain causal attention over a row of tokens"
        )
        self.settings = self.settings.model_copy(update={"layout": "padded"})

    def _take_steps(self) -> None:
        due = validation_steps(self.report.steps_planned, self.settings.validations_planned)
        while True:
            validated = any(v.step == self.report.steps for v in self.report.validations)
            if self.report.steps in due and not validated:
                self._validate()
            self._handle_signals()
            if self._out_of_patience() or self.report.steps == self.report.steps_planned:
                return
            self._step(self.order.batch(self.report.steps))

    def _handle_signals(self) -> None:
        """Save or end where all processes are at the same step."""
        save = self.signals.save or (self.store is not None and self.store.due)
        save, self.signals.end = self.processes.any(save, self.signals.end)
        if save:
            self._save()
        self.signals.check()

    def _step(self, batch: Sequence[Encoded]) -> None:
        settings, processes, weights = self.settings, self.processes, list(self.weights.values())
        started, cpu_started = time.monotonic(), time.process_time()
        computed = self.report.tokens.computed
        factor = rate_factor(settings, self.report.steps, self.report.steps_planned)
        for group in self.optimizer.param_groups:
            group["lr"] = settings.learning_rate * factor
        separate_prefix = processes.separate_prefix
        step_packs = packs(processes.share(batch), settings, self.mass, separate_prefix)
        step_packs = processes.add_idle_passes(step_packs, settings.layout == "padded")
        self.model.zero_grad()
        (loss,) = processes.total([self._accumulate(step_packs)])
        self._require_finite(loss, "loss")
        processes.sum_gradients(weights)
        norm = processes.gradient_norm([p.grad for p in weights if p.grad is not None])
        limit = settings.gradient_clip or math.inf
        torch.nn.utils.clip_grads_with_norm_(weights, limit, norm)
        self._require_finite(norm.item(), "gradient's norm")
        self.optimizer.step()
        processes.send_updates(weights, self.owners)
        of_batch = loss_mass(batch, settings.normalise)
        self.report.losses.append(loss * self.mass / of_batch)
        if settings.stop == "epochs":
            self.report.kept_step = self.report.steps
        self.report.gradient_norms.append(norm.item())
        self.report.add_passes(step_packs, self.flops.step(step_packs), processes)
        seconds = time.monotonic() - started
        self._record(
            loss=self.report.losses[-1],
            gradient_norm=self.report.gradient_norms[-1],
            learning_rate=settings.learning_rate * factor,
            tokens_per_second=(self.report.tokens.computed - computed) / seconds,
            **{"system/process_cpu_percent": 100 * (time.process_time() - cpu_started) / seconds},
            **memory_in_use(self.model.device),
        )

    def _accumulate(self, step_packs: Sequence[Pack]) -> float:
        # One of several processes may not abandon a step that the others finish.
        before_pass = self.signals.check if self.processes.size == 1 else lambda: None
        with self._autocast():
            return accumulate(self.model, step_packs, before_pass)

    def _autocast(self, on_cpu: bool = True) -> torch.autocast:
        """Return a context that computes in `training.dtype`, on a CPU only if `on_cpu`."""
        device = self.model.device.type
        half = self.settings.dtype == "bfloat16" and (on_cpu or device != "cpu")
        return torch.autocast(device, torch.bfloat16, enabled=half)

    def _require_finite(self, value: float, name: str) -> None:
        if not math.isfinite(value):
            raise RestemError(
                f"the training {name} is {value}",
                f"step {self.report.steps + 1} of {self.report.steps_planned}",
                "lower training.learning_rate, or look for a broken example or start checkpoint",
            )

    def _validate(self) -> None:
        started = time.monotonic()
        self.model.eval()
        self.model.zero_grad()  # makes room for a copy of the weights in the engine's type
        interrupting = self.processes.size == 1
        context = self.signals.interrupting() if interrupting else nullcontext()
        # Sharded weights are not copied: a GPU would sample in float32, many times more slowly.
        arithmetic = self._autocast(on_cpu=False) if self.processes.sharded else nullcontext()
        with context, torch.random.fork_rng(), torch.no_grad(), arithmetic:
            reward = self.processes.from_first(lambda: self.validate(self.model, self.tokenizer))
            flops = self.processes.from_first(lambda: getattr(self.validate, "flops", 0.0))
        self.model.train()
        report = self.report
        self.validation_seconds += time.monotonic() - started
        best = max((v.reward for v in report.validations), default=-math.inf)
        report.validations.append(Validation(report.steps, reward, round(flops)))
        recent = report.losses[-20:]
        loss = f", loss {sum(recent) / len(recent):.4f}" if recent else ""
        self._record(validation_reward=reward)
        self._print(
            f"step {report.steps} of {report.steps_planned}: validation reward {reward:.4f}{loss}"
        )
        if self.settings.stop == "validation_reward" and reward > best:
            report.kept_step = report.steps
            if self.processes.keeps_weights:
                self.best_weights = {n: p.detach().cpu().clone() for n, p in self.weights.items()}

    def _out_of_patience(self) -> bool:
        worse = [v for v in self.report.validations if v.step > self.report.kept_step]
        if self.settings.stop == "epochs" or len(worse) < self.settings.patience:
            return False
        self.report.ended = "no_improvement"
        return True

    def _set_weights(self, weights: dict[str, torch.Tensor]) -> None:
        with torch.no_grad():
            for name, parameter in self.weights.items():
                parameter.copy_(weights[name])

    def _save(self) -> None:
        if self.store is None:
            return
        self.signals.save = False
        device = self.model.device
        own = {
            "optimizer": self.optimizer.state_dict(),
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        }
        if gathered := self.processes.gather(own):
            state = {
                "report": asdict(self.report),
                "weights": dict(self.weights),
                "kept": self.best_weights,
                "processes": gathered,
            }
            self.store.save(state, self.processes.wait_for_states)

    def _resume(self) -> None:
        state = self._newest_state() if self.store else None
        if state is None:
            return
        self.report = TrainingReport.of(state["report"])
        self._require_fitting(state)
        self._set_weights(state["weights"])
        self.best_weights = state["kept"]
        own = self.processes.own_value(state["processes"])
        self.optimizer.load_state_dict(own["optimizer"])
        torch.set_rng_state(own["random"])
        if own["random_cuda"] is not None:
            torch.cuda.set_rng_state(own["random_cuda"], self.model.device)
        self._print(f"resumed after step {self.report.steps} of {self.report.steps_planned}")

    def _require_fitting(self, state: dict[str, Any]) -> None:
        """Refuse a state with other weights: copying would leave some out, or repeat numbers."""
        shapes = {name: parameter.shape for name, parameter in self.weights.items()}
        for stored in (state["weights"], state["kept"] or self.weights):
            differing = shapes.items() ^ {n: t.shape for n, t in stored.items()}.items()
            if differing:
                names = sorted({name for name, _ in differing})
                raise RestemError(
                    "the saved state of this fine-tuning has other weights than the model: "
                    + ", ".join(names[:8]),
                    str(self.store and self.store.folder),
                    "delete this folder: the fine-tuning then begins anew",
                )

    def _newest_state(self) -> dict[str, Any] | None:
        """Return the newest state that all processes have: a kill may have left one behind."""
        assert self.store is not None
        states = self.store.states()
        state = next(states, None)
        common_steps = self.processes.minimum(_steps_of(state))
        while _steps_of(state) > common_steps:
            state = next(states, None)
        (differ,) = self.processes.any(_steps_of(state) != common_steps)
        return None if differ else state

    def _record(self, **values: float) -> None:
        if self.processes.rank == 0:
            self.record(step=self.report.steps, **values)

    def _print(self, line: str) -> None:
        if self.processes.rank == 0:
            self.progress(line)


def _steps_of(state: dict[str, Any] | None) -> int:
    """Return the number of steps of a state; -1 for none."""
    return -1 if state is None else len(state["report"]["losses"])


def _optimizer(parameters: Sequence[torch.Tensor], settings: Training) -> torch.optim.Optimizer:
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=_BETAS, fused=True)
