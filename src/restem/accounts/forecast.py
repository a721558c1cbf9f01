"""Say what a study would take before anything is drawn, in the ledger's terms: tokens, FLOPs, GPUs.

The problems are read as the study reads them (but for overlaps). What nobody knows beforehand is
assumed and said: how long completions are, how many are correct, how well a GPU is used. All is
counted as drawn, fine-tunings as lasting to the end of their epochs, and a prompt as computed once
for all draws of its problem, as in `restem.accounts.costs`.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cache
from statistics import fmean
from typing import Final

from restem.accounts.costs import FORWARD, TRAINING, Cost, total
from restem.config.data import Split
from restem.config.errors import nearest
from restem.config.training import Training
from restem.errors import RestemError
from restem.pages.ledger import amount
from restem.study.addresses import HINT, Draws, Policy
from restem.study.graph import StudyGraph
from restem.study.policy_graph import REFERENCE
from restem.tasks.registry import load_task
from restem.tasks.splits import load_split
from restem.tasks.task import few_shot_prefix

HOUR: Final = 3600
_FLOAT: Final = 4  # bytes of a weight, of its gradient, and of each of AdamW's two moments
COLUMNS: Final = ("draws", "prompt_tokens", "generated_tokens", "trained_tokens", "flops")


@dataclass(frozen=True)
class Assumed:
    """What is not known before a study has run.

    length: of a completion, as a share of its decoding's max_tokens. solved: share of draws that
    are correct. characters: of a token, in prompts. peak: of one GPU [FLOP/s]. drawing, training:
    shares of the peak that are reached.
    """

    length: float = 0.5
    solved: float = 0.5
    characters: float = 3.0
    peak: float = 989e12
    drawing: float = 0.1
    training: float = 0.35


@dataclass(frozen=True)
class Size:
    """Hold how many problems a split has, and the mean tokens of few-shot prompt and question."""

    problems: int
    prefix: float
    question: float


@dataclass(frozen=True)
class Row:
    """Hold what all work of one kind with one model takes."""

    model: str
    work: str
    tables: int
    cost: Cost


class Forecast:
    """The cost of a study by model and kind of work."""

    def __init__(self, graph: StudyGraph, parameters: Mapping[str, float], assumed: Assumed) -> None:
        """Take the parameters of every model of the study; raises RestemError."""
        self.graph, self.assumed = graph, assumed
        self.parameters = _of_all_models(graph, parameters)
        self._size = cache(self._read_size)

    def rows(self) -> list[Row]:
        """Return the cost of every model's work, in the order of the study's models."""
        works: dict[tuple[str, str], list[Cost]] = {}
        tables: dict[tuple[str, str], int] = {}
        for model, work, count, cost in self._works():
            works.setdefault((model, work), []).append(cost)
            tables[model, work] = tables.get((model, work), 0) + count
        order = list(self.graph.study.models)
        keys = sorted(works, key=lambda key: (order.index(key[0]), key[1]))
        return [Row(*key, tables[key], total(works[key])) for key in keys]

    def memory(self) -> dict[str, float]:
        """Return the bytes that a process of fine-tuning holds at least, by model.

        The moments are shared among the processes, gradients and weights where training says so.
        With adapters the weights are nearly all. Activations are not counted.
        """
        held: dict[str, float] = {}
        for policy in self.graph.trained:
            if self.graph.method(policy).m_step.kind == "fine_tune":
                training = self._training(policy)
                whole = 1.0 if training.shard == "optimizer" else 1 / training.processes
                numbers = whole if training.lora else 2 * whole + 2 / training.processes
                least = _FLOAT * numbers * self.parameters[policy.model]
                held[policy.model] = max(least, held.get(policy.model, 0))
        return held

    def _works(self) -> Iterator[tuple[str, str, int, Cost]]:
        """Yield model, kind of work, tables and cost of everything that a GPU makes."""
        evaluated = set(self.graph.evaluations())
        for draws in self.graph.sampled():
            kind = "draws for evaluation" if draws in evaluated else "draws for the E-step"
            shards = len(self.graph.shards(draws.split))
            yield draws.policy.model, kind, shards, self.of_draws(draws)
        for policy in self.graph.trained:
            yield policy.model, "training", 1, self.of_training(policy)
            yield policy.model, "validation in training", 0, self.of_validation(policy)

    def of_draws(self, draws: Draws) -> Cost:
        """Return what completions cost; a beam search its continuations and rollouts."""
        size = self._size(draws.task, draws.split)
        problems: float = draws.window[1] if draws.window else size.problems
        if draws.view == HINT:
            problems *= 1 - self.assumed.solved
        decoding = self.graph.study.decodings[draws.decoding]
        length = self.assumed.length * decoding.max_tokens
        search = self.graph.search_of(draws)
        if search is None:
            count, each = float(self.graph.count(draws)), length
        else:
            steps = math.ceil(length / search.step_tokens)
            count = float(search.beams * search.expansions * steps)
            each = search.step_tokens + search.rollouts * length / 2
        return self._drawn(draws.policy.model, problems, size.prefix + size.question, count, each)

    def of_validation(self, policy: Policy) -> Cost:
        """Return what the validations of an M-step draw."""
        study, m_step = self.graph.study, self.graph.method(policy).m_step
        training = self._training(policy)
        due = {
            "fine_tune": training.epochs_max * training.validations_per_epoch + 1,
            "prompt": m_step.candidates,
        }
        size = self._size(policy.task, "validation")
        decoding = study.decodings[study.validation_decoding]
        return self._drawn(
            policy.model,
            size.problems * due.get(m_step.kind, 0),
            size.prefix + size.question,
            decoding.draws,
            self.assumed.length * decoding.max_tokens,
        )

    def of_training(self, policy: Policy) -> Cost:
        """Return what the steps of an M-step cost; none where no weights are fitted."""
        if self.graph.method(policy).m_step.kind != "fine_tune":
            return Cost()
        training, size = self._training(policy), self._size(policy.task, "train")
        examples = self.examples(policy)
        of_epochs = training.epochs_max * math.ceil(examples / training.batch_size)
        steps = self.graph.steps(policy) or training.steps or of_epochs
        batch = min(training.batch_size, examples)
        prefixes = 1 if training.layout == "tree" else batch
        target = size.question + self._target(policy)
        tokens = round(steps * (prefixes * size.prefix + batch * target))
        flops = float(TRAINING * self.parameters[policy.model] * tokens)
        seconds = flops / (self.assumed.peak * self.assumed.training)
        return Cost(trained_tokens=tokens, flops=flops, gpu_seconds=seconds)

    def examples(self, policy: Policy) -> float:
        """Return how many examples selection keeps, at most."""
        selection = self.graph.selection(policy)
        all_problems = self._size(policy.task, "train").problems
        problems = min(all_problems, selection.problems or all_problems)
        problems = round(problems * (selection.problem_share or 1))
        kept = sum(
            self.graph.wanted_draws(policy, source)
            * min(source.draws.window[1] if source.draws.window else problems, problems)
            * (1 if selection.threshold is None else self.assumed.solved)
            for source in self.graph.sources(policy)
            if source.name != REFERENCE
        )
        most = [limit for limit in (selection.cap, selection.best) if limit is not None]
        kept = min([kept, *(problems * limit for limit in most)]) * (selection.top_share or 1)
        return kept + (problems if selection.human else 0)

    def _training(self, policy: Policy) -> Training:
        return self.graph.study.training_of(policy.variant, policy.model)

    def _target(self, policy: Policy) -> float:
        """Return the tokens of an example's solution: those of a completion."""
        study, step = self.graph.study, self.graph.method(policy).e_step
        decoding = step.decoding if step else study.validation_decoding
        return self.assumed.length * study.decodings[decoding].max_tokens

    def _drawn(self, model: str, problems: float, prompt: float, draws: float, each: float) -> Cost:
        computed, generated = round(problems * prompt), round(problems * draws * each)
        flops = float(FORWARD * self.parameters[model] * (computed + generated))
        return Cost(
            draws=round(problems * draws),
            prompt_tokens=computed,
            cached_tokens=round(problems * max(draws - 1, 0) * prompt),
            generated_tokens=generated,
            flops=flops,
            gpu_seconds=flops / (self.assumed.peak * self.assumed.drawing),
        )

    def _read_size(self, task: str, split: Split) -> Size:
        module, stated = load_task(self.graph.module(task)), self.graph.study.tasks[task].data
        data = stated.model_copy(update={"exclude_overlap": None})
        problems = load_split(module, data, split).problems
        if not problems:
            return Size(0, 0, 0)
        shots = load_split(module, data, "shots").problems
        subjects = {p.subject: few_shot_prefix(module, shots, p.subject) for p in problems}
        prefix = fmean(len(subjects[problem.subject]) for problem in problems)
        question = fmean(len(module.question(problem.question)) for problem in problems)
        return Size(
            len(problems), prefix / self.assumed.characters, question / self.assumed.characters
        )


def text(forecast: Forecast) -> str:
    """Write a forecast as Markdown, its assumptions below it."""
    rows, assumed = forecast.rows(), forecast.assumed
    head = ("model", "work", "tables", *(name.replace("_", " ") for name in COLUMNS), "GPU-hours")
    whole = Row("all", "", sum(row.tables for row in rows), total(row.cost for row in rows))
    lines = [_line(head), _line((":--", ":--", *["--:"] * (len(head) - 2)))]
    for row in [*rows, whole]:
        amounts = [amount(float(getattr(row.cost, name))) for name in COLUMNS]
        hours = amount(row.cost.gpu_seconds / HOUR)
        lines.append(_line((row.model, row.work, str(row.tables), *amounts, hours)))
    stated = ", ".join(f"{f.name} {getattr(assumed, f.name):g}" for f in fields(assumed))
    held = ", ".join(f"{name} {size / 1e9:.3g} GB" for name, size in forecast.memory().items())
    title = f"# What {forecast.graph.study.study} would take — a forecast\n"
    notes = [f"\nAssumed: {stated}."]
    if held:
        notes.append(f"Held by a process of fine-tuning, without activations: {held}.")
    return "\n".join([title, *lines, *notes])


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def _of_all_models(graph: StudyGraph, parameters: Mapping[str, float]) -> dict[str, float]:
    models = list(graph.study.models)
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
            f"nothing says how large {', '.join(missing)} {'is' if len(missing) == 1 else 'are'}",
            "--parameters",
            "give each model's number of parameters, for instance "
            + " ".join(f"--parameters {name}=7.6e9" for name in missing),
        )
    return dict(parameters)
