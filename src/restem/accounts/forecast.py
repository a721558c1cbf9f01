"""Estimate the cost of a study in tokens, FLOPs and GPU-hours before running it.

Problems are read as in the study, except that overlapping ones stay in. What is unknown before a
run is assumed, and the assumptions are printed. The estimate takes every draw as made and every
fine-tuning as lasting for all its epochs. As in `restem.accounts.costs`, a prompt is computed once
for all draws of its problem. Shapes are unknown before a model is there, so FLOPs are 2 and 6 for a
parameter and token (Kaplan et al. 2020, section 2.1): less than counted, for lack of attention.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Final, cast

from restem.accounts.costs import Cost, total
from restem.accounts.measured import Measured
from restem.accounts.sizes import Size, size_of
from restem.config.data import Split
from restem.config.training import Training
from restem.errors import RestemError, nearest
from restem.pages.ledger import amount, readable
from restem.study.addresses import Draws, Policy
from restem.study.graph import StudyGraph
from restem.study.policy_graph import REFERENCE
from restem.tasks.registry import load_task

FORWARD: Final = 2  # FLOPs per parameter and token
TRAINING: Final = 6
HOUR: Final = 3600
FLOAT_BYTES: Final = 4  # of a weight, of its gradient, and of each of AdamW's two moments
BASE_BYTES: Final = 2  # of a weight of a base model, as nearly all are published
STATE_BYTES: Final = 2 * 4 * FLOAT_BYTES  # two states of weights, best weights and both moments
ADAPTER_SHARE: Final = 0.01  # of the weights, roughly, in adapters of usual ranks
TEXT_BYTES: Final = 2  # of a token in a table of samples, compressed
COLUMNS: Final = ("draws", "prompt_tokens", "generated_tokens", "trained_tokens", "flops")


@dataclass(frozen=True)
class Assumptions:
    """What is unknown before a study has run.

    length: mean length of a completion, as a share of its decoding's max_tokens. solved: share of
    draws that are correct. characters: per token of a prompt. peak: of one GPU [FLOP/s]. sampling,
    training: share of the peak that is reached in sampling and in training.
    """

    length: float = 0.5
    solved: float = 0.5
    characters: float = 3.0
    peak: float = 989e12
    sampling: float = 0.1
    training: float = 0.35


@dataclass(frozen=True)
class Row:
    """The cost of one kind of work with one model; tables: number of artifacts."""

    model: str
    work: str
    tables: int
    cost: Cost


@dataclass(frozen=True)
class Disk:
    """Bytes on disk: with all checkpoints; with those that `restem prune` keeps; states besides.

    states: what the largest training saves in case that it is killed, two at the moment of saving.
    """

    all: float
    final: float
    states: float


class Forecast:
    """The estimated cost of a study, by model and kind of work."""

    def __init__(
        self, graph: StudyGraph, parameters: Mapping[str, float], assumptions: Assumptions
    ) -> None:
        """Take the number of parameters of every model; raises RestemError if one is missing."""
        _check_names(parameters, list(graph.study.models))
        self.graph, self.parameters, self.assumptions = graph, parameters, assumptions
        self._sizes: dict[tuple[str, str], Size] = {}

    def rows(self) -> list[Row]:
        """Return one row for each model and kind of work, in the order of the study's models."""
        groups: dict[tuple[str, str], list[Row]] = {}
        for row in self._artifacts():
            groups.setdefault((row.model, row.work), []).append(row)
        models = list(self.graph.study.models)
        return [
            Row(*key, sum(row.tables for row in groups[key]), total(r.cost for r in groups[key]))
            for key in sorted(groups, key=lambda key: (models.index(key[0]), key[1]))
        ]

    def memory(self) -> dict[str, float]:
        """Return the bytes that one process needs at least for fine-tuning, by model.

        Processes share the optimizer's moments, and gradients and weights too if `training.shard`
        says so. With adapters, nearly all memory is for the weights, and for a copy of them in the
        engine's type while they are validated. Activations do not count.
        """
        bytes_by_model: dict[str, float] = {}
        for policy in self.graph.trained:
            if self.graph.method(policy).m_step.kind == "fine_tune":
                training = self._training(policy)
                share = 1.0 if training.shard == "optimizer" else 1 / training.processes
                copies = share if training.lora else 2 * share + 2 / training.processes
                if training.lora and training.shard == "optimizer" and self._validates_copy(policy):
                    copies += 0.5
                needed = FLOAT_BYTES * copies * self.parameters[policy.model]
                bytes_by_model[policy.model] = max(needed, bytes_by_model.get(policy.model, 0))
        return bytes_by_model

    def _validates_copy(self, policy: Policy) -> bool:
        """Tell whether a policy is validated with weights of another type than in training."""
        half = self.graph.study.models[policy.model].engine.dtype == "bfloat16"
        return half and self._training(policy).validations_planned > 0

    def disk(self) -> Disk:
        """Return the bytes that the study takes on disk: weights, completions and saved states."""
        weights = {p: self._bytes_of_weights(p) for p in self.graph.trained}
        bases = {p: BASE_BYTES * self.parameters[p.model] for p in self._bases()}
        text = TEXT_BYTES * sum(row.cost.generated_tokens for row in self._artifacts())
        final = {self.graph.owner(p) for p in self.graph.stated if self.graph.is_last(p)}
        kept = text + sum(bases.values())
        states = [STATE_BYTES * self.parameters[p.model] for p, size in weights.items() if size]
        return Disk(
            all=kept + sum(weights.values()),
            final=kept + sum(weights[policy] for policy in final),
            states=max(states, default=0),
        )

    def _bases(self) -> list[Policy]:
        return [self.graph.base(model) for model in self.graph.study.models]

    def _bytes_of_weights(self, policy: Policy) -> float:
        """Return the size of a policy's checkpoint; prompts are linked to the weights they use."""
        kind, training = self.graph.method(policy).m_step.kind, self._training(policy)
        if kind in ("prompt", "shots"):
            return 0
        whole = {"float32": 4, "bfloat16": 2}[training.save_dtype] * self.parameters[policy.model]
        adapters = training.lora is not None and not training.lora.merged
        return ADAPTER_SHARE * whole if kind == "fine_tune" and adapters else whole

    def _artifacts(self) -> Iterator[Row]:
        """Yield the cost of everything that is made on a GPU."""
        evaluated = set(self.graph.evaluations())
        for draws in self.graph.sampled():
            work = "draws for evaluation" if draws in evaluated else "draws for the E-step"
            shards = len(self.graph.shards(draws.split))
            yield Row(draws.policy.model, work, shards, self._cost_of_draws(draws))
        for policy in self.graph.trained:
            yield Row(policy.model, "training", 1, self._cost_of_training(policy))
            yield Row(policy.model, "validation in training", 0, self._cost_of_validation(policy))

    def _cost_of_draws(self, draws: Draws) -> Cost:
        """Return the cost of completions; in a beam search, of its continuations and rollouts."""
        size = self._size(draws.task, draws.split)
        problems: float = draws.window[1] if draws.window else size.problems
        if draws.hint_after:
            problems *= 1 - self.assumptions.solved
        decoding = self.graph.study.decodings[draws.decoding]
        length = self.assumptions.length * decoding.max_tokens
        search = draws.search
        if search is None:
            count, tokens = float(self.graph.count(draws)), length
        else:
            steps = math.ceil(length / search.step_tokens)
            count = float(search.beams * search.expansions * steps)
            tokens = search.step_tokens + search.rollouts * length / 2
        prompt = size.prefix + size.question
        return self._cost_of_sampling(draws.policy.model, problems, prompt, count, tokens)

    def _cost_of_validation(self, policy: Policy) -> Cost:
        """Return the cost of all validations of an M-step."""
        validations = self.graph.validations(policy)
        size = self._size(policy.task, "validation")
        decoding = self.graph.study.validation
        tokens = self.assumptions.length * decoding.max_tokens
        problems, prompt = size.problems * validations, size.prefix + size.question
        return self._cost_of_sampling(policy.model, problems, prompt, decoding.draws, tokens)

    def _cost_of_training(self, policy: Policy) -> Cost:
        """Return the cost of an M-step's optimisation steps; 0 if no weights are fitted."""
        method, study = self.graph.method(policy), self.graph.study
        if method.m_step.kind != "fine_tune":
            return Cost()
        training, size = self._training(policy), self._size(policy.task, "train")
        examples = self.examples(policy)
        steps_in_epochs = training.epochs_max * math.ceil(examples / training.batch_size)
        steps = self.graph.steps(policy) or training.steps or steps_in_epochs
        batch = min(training.batch_size, examples)
        prefixes = 1 if training.layout == "tree" else batch
        e_step = method.e_step
        decoding = study.decodings[e_step.decoding] if e_step else study.validation
        solution = self.assumptions.length * decoding.max_tokens
        tokens = round(steps * (prefixes * size.prefix + batch * (size.question + solution)))
        flops = float(TRAINING * self.parameters[policy.model] * tokens)
        seconds = flops / (self.assumptions.peak * self.assumptions.training)
        return Cost(trained_tokens=tokens, flops=flops, gpu_seconds=seconds)

    def examples(self, policy: Policy) -> float:
        """Return how many examples the selection keeps at most."""
        selection = self.graph.selection(policy)
        problems = selection.first_problems(self._size(policy.task, "train").problems)
        kept = sum(
            self.graph.wanted_draws(policy, source)
            * min(source.draws.window[1] if source.draws.window else problems, problems)
            * (1 if selection.threshold is None else self.assumptions.solved)
            for source in self.graph.sources(policy)
            if source.name != REFERENCE
        )
        limits = [limit for limit in (selection.cap, selection.best) if limit is not None]
        kept = min([kept, *(problems * limit for limit in limits)]) * (selection.top_share or 1)
        return kept + (problems if selection.human else 0)

    def _training(self, policy: Policy) -> Training:
        return self.graph.study.training_of(policy.variant, policy.model)

    def _cost_of_sampling(
        self, model: str, problems: float, prompt: float, draws: float, tokens: float
    ) -> Cost:
        """Return the cost of sampling, given tokens of a prompt, draws and tokens of a draw."""
        computed, generated = round(problems * prompt), round(problems * draws * tokens)
        flops = float(FORWARD * self.parameters[model] * (computed + generated))
        return Cost(
            draws=round(problems * draws),
            prompt_tokens=computed,
            cached_tokens=round(problems * max(draws - 1, 0) * prompt),
            generated_tokens=generated,
            flops=flops,
            gpu_seconds=flops / (self.assumptions.peak * self.assumptions.sampling),
        )

    def unmeasured(self) -> list[str]:
        """Name the tasks whose data is not there, so that their sizes are those that are stated."""
        return sorted({task for (task, _), size in self._sizes.items() if not size.measured})

    def _size(self, task: str, split: str) -> Size:
        """Return the size of a split; lengths are in tokens."""
        if (task, split) not in self._sizes:
            module, data = load_task(self.graph.module(task)), self.graph.study.tasks[task].data
            self._sizes[task, split] = size_of(module, data, cast(Split, split))
        size, characters = self._sizes[task, split], self.assumptions.characters
        return replace(size, prefix=size.prefix / characters, question=size.question / characters)


def markdown(forecast: Forecast, measured: Measured | None = None) -> str:
    """Return a forecast as Markdown, with what is measured and what is assumed below the table."""
    rows, assumptions = forecast.rows(), forecast.assumptions
    names = ("model", "work", "tables", *(name.replace("_", " ") for name in COLUMNS), "GPU-hours")
    table = [names, (":--", ":--", *["--:"] * (len(names) - 2))]
    for row in [*rows, Row("all", "", sum(r.tables for r in rows), total(r.cost for r in rows))]:
        amounts = [amount(float(getattr(row.cost, name))) for name in COLUMNS]
        hours = amount(row.cost.gpu_seconds / HOUR)
        table.append((row.model, row.work, str(row.tables), *amounts, hours))
    values = {f.name: getattr(assumptions, f.name) for f in fields(assumptions)}
    known = measured.values if measured else {}
    taken = [name for name, value in values.items() if known.get(name) == value]
    assumed = ", ".join(f"{name} {values[name]:.4g}" for name in values if name not in taken)
    memory = ", ".join(f"{name} {size / 1e9:.3g} GB" for name, size in forecast.memory().items())
    lines = [f"# Estimated cost of {forecast.graph.study.study}\n"]
    lines += [f"| {' | '.join(cells)} |" for cells in table]
    lines.append("")
    if measured and taken:
        lines.append(
            f"Measured on {measured.gpu}: "
            + ", ".join(
                f"{name} {values[name]:.4g}"
                + (f" ({measured.models[name]})" if name in measured.models else "")
                for name in taken
            )
            + "."
        )
    lines.append(f"Assumed: {assumed}.")
    if unmeasured := forecast.unmeasured():
        lines.append(
            f"Not read, because the data is not on this machine: {', '.join(unmeasured)}. Numbers "
            "of problems are those that the sources state, lengths are typical of the benchmark; "
            "`restem data fetch` makes them exact."
        )
    disk = forecast.disk()
    lines.append(
        f"Disk: {readable(disk.all)} with every checkpoint, {readable(disk.final)} after `restem "
        f"prune`, and up to {readable(disk.states)} more for each training that runs."
    )
    if memory:
        lines.append(f"Memory of a process of fine-tuning, without activations: {memory}.")
    return "\n".join(lines)


def _check_names(parameters: Mapping[str, float], models: Sequence[str]) -> None:
    """Raise RestemError unless every model of a study has a number of parameters."""
    for name in parameters:
        if name not in models:
            raise RestemError(
                f"the study has no model {name!r}{nearest(name, models)}",
                "--parameters",
                f"name one of {', '.join(models)}",
            )
    missing = [name for name in models if name not in parameters]
    if missing:
        raise RestemError(
            f"the number of parameters of {', '.join(missing)} is missing",
            "--parameters",
            "give each model's number of parameters, for instance "
            + " ".join(f"--parameters {name}=7.6e9" for name in missing),
        )
