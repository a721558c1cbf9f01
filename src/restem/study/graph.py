"""The graph of a study: which artifacts it has, what each is made from, and which are one.

Snakemake knows files; this module knows the study. The rules ask it for the inputs and the
settings of an address, so that no rule holds logic. Policies that are made alike in every respect
are one artifact: the variant that the study lists first owns it, the others are its aliases.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from restem.artifacts.digests import digest
from restem.config.method import Method
from restem.config.metrics import Metrics
from restem.config.models import EngineSettings
from restem.config.study import Study
from restem.config.variant import Evaluation
from restem.study.addresses import BASE, Draws, Policy, Source
from restem.study.checks import refuse_contradictions
from restem.study.figure_needs import Result, is_plotted, results
from restem.study.policy_graph import MODEL, PolicyGraph
from restem.tasks.registry import load_task

_PINS_NAMED = 2  # more are counted, so that a label stays a label

__all__ = ["Draws", "Policy", "StudyGraph"]


class StudyGraph(PolicyGraph):
    """All artifacts of a study, by address."""

    def __init__(
        self,
        study: Study,
        published: Mapping[str, Any] | None = None,
        pinned: Sequence[str] = (),
        checked: bool = True,
    ) -> None:
        """Raise RestemError with everything that is known to go wrong, unless checked is false."""
        super().__init__(study)
        self.published = published or {}
        self.pinned = pinned
        self._identities: dict[Policy, str] = {}
        if checked:
            refuse_contradictions(self)

    @cached_property
    def metrics(self) -> Metrics:
        """Return the estimates that the evaluations allow.

        Of the default k of pass@k, those that the draws allow. Experiments share what is stated,
        and a study may have chosen some of them: then stated k and bins are adapted too.
        """
        stated, shared = self.study.metrics, bool(self.study.experiments)
        changes: dict[str, Any] = {}
        if self.most_draws and (shared or "ks" not in stated.model_fields_set):
            changes["ks"] = tuple(k for k in stated.ks if k <= self.most_draws) or (1,)
        if all(e.decoding != stated.difficulty for e in self.study.evaluations):
            changes["breakdowns"] = tuple(b for b in stated.breakdowns if b != "difficulty")
        return stated.model_copy(update=changes)

    @cached_property
    def most_draws(self) -> int:
        """Return the most draws that a sampled evaluation has; 0 if all are greedy."""
        sampled = (d for d in self._evaluated if not self.study.decodings[d.decoding].greedy)
        return max(map(self.count, sampled), default=0)

    @cached_property
    def results(self) -> list[Result]:
        """List what the evaluations measure, by the names of the policies."""
        return results(self)

    @cached_property
    def figures(self) -> list[str]:
        """List the figures of the whole study; of the default ones, those that can be plotted."""
        stated = self.study.figures
        is_stated = "figures" in self.study.model_fields_set
        return [name for name in stated if is_stated or is_plotted(self, name)]

    @cached_property
    def owners(self) -> dict[Policy, Policy]:
        """Map every stated policy to the one whose artifact it is."""
        first: dict[str, Policy] = {}
        return {p: first.setdefault(self.identity(p), p) for p in self.stated}

    @property
    def trained(self) -> list[Policy]:
        """List the policies that are trained: each recipe once."""
        return list(dict.fromkeys(self.owners.values()))

    @property
    def aliases(self) -> list[tuple[Policy, Policy]]:
        """List (owner, other name) for every policy that shares another's artifact."""
        return [(owner, policy) for policy, owner in self.owners.items() if owner != policy]

    def owner(self, policy: Policy) -> Policy:
        """Return the policy whose artifact an address stands for."""
        return policy if policy.variant == BASE else self.owners[policy]

    def start(self, policy: Policy) -> Policy:
        """Return the policy whose weights fine-tuning starts from."""
        return self.owner(self.stated_start(policy))

    def stated_start(self, policy: Policy) -> Policy:
        """Return the policy that an M-step starts from, as stated."""
        method = self.method(policy)
        return self.origin(policy, "last" if method.m_step.kind == "interpolate" else method.start)

    def averaged_with(self, policy: Policy) -> list[Policy]:
        """List the policies that an M-step reads besides its start."""
        interpolates = self.method(policy).m_step.kind == "interpolate"
        return [self.base(policy.model)] if interpolates else []

    def validations(self, policy: Policy) -> int:
        """Return how often an M-step measures the reward on the validation split, at most."""
        m_step = self.method(policy).m_step
        planned = self.study.training_of(policy.variant, policy.model).validations_planned
        counts = {"fine_tune": planned and planned + 1, "prompt": m_step.candidates}
        return counts.get(m_step.kind, 0)

    def weights_below(self, policy: Policy) -> list[Policy]:
        """List the policies whose weights are needed besides a policy's own: it is an adapter."""
        if policy.variant == BASE:
            return []
        lora = self.study.training_of(policy.variant, policy.model).lora
        if lora is None or lora.merged:
            return []
        start = self.start(policy)
        return [start, *self.weights_below(start)]

    def feeds(self, policy: Policy) -> list[Draws]:
        """List the completions that a policy's examples are selected from."""
        return [self._owned(source.draws) for source in self.sources(policy)]

    def e_step(self, policy: Policy) -> Draws | None:
        """Return the completions that are drawn for a policy's iteration."""
        drawn = [source.draws for source in self.sources(policy) if source.name == MODEL]
        return self._owned(drawn[0]) if drawn else None

    def draws(self, policy: Policy, task: str, split: str, decoding: str, seed: int) -> Draws:
        """Return the address of completions; greedy ones do not depend on a seed."""
        greedy = self.study.decodings[decoding].greedy
        return Draws(self.owner(policy), task, split, decoding, 0 if greedy else seed)

    def _owned(self, draws: Draws) -> Draws:
        return replace(draws, policy=self.owner(draws.policy))

    @cached_property
    def _wanted(self) -> dict[Draws, int]:
        """Map what selections look at to the most draws that one of them wants."""
        wanted: dict[Draws, int] = {}
        for policy in self.trained:
            for source in self.sources(policy):
                draws = self._owned(source.draws)
                wanted[draws] = max(wanted.get(draws, 0), self.wanted_draws(policy, source))
        return wanted

    def count(self, draws: Draws) -> int:
        """Return how many draws of each problem an address holds: as many as any use wants."""
        if draws.search:
            return draws.search.beams
        measured = self.study.decodings[draws.decoding].draws
        wanted = self._wanted.get(draws, 0)
        return max(wanted, measured) if draws in self._evaluated_set or not wanted else wanted

    @cached_property
    def _evaluated_set(self) -> set[Draws]:
        return set(self._evaluated)

    def sampled(self) -> list[Draws]:
        """List all completions of the study, drawn for an E-step or for an evaluation."""
        steps = [draws for policy in self.trained for draws in self.feeds(policy)]
        return list(dict.fromkeys([*steps, *self.evaluations()]))

    def sampled_from(self, policy: Policy) -> list[Draws]:
        """List all completions of the study that are drawn from a policy."""
        return self._sampled_from.get(policy, [])

    @cached_property
    def _sampled_from(self) -> dict[Policy, list[Draws]]:
        by_policy: dict[Policy, list[Draws]] = {}
        for draws in self.sampled():
            by_policy.setdefault(draws.policy, []).append(draws)
        return by_policy

    def evaluations(self) -> list[Draws]:
        """List the completions that are evaluated: each address once."""
        return self._evaluated.copy()

    @cached_property
    def _evaluated(self) -> list[Draws]:
        return list(dict.fromkeys(self.all_evaluated()))

    def all_evaluated(self) -> Iterator[Draws]:
        """List the completions of every evaluation of every policy, as often as they are used."""
        return (d for e in self.study.evaluations for d in self.evaluated(e))

    def by_hand(self, task: str) -> bool:
        """Tell whether a human grades the completions of a task."""
        return load_task(self.module(task)).by_hand

    def filled(self, draws: Draws) -> Path | None:
        """Return where the filled sheet of some completions is looked for."""
        folder = self.study.tasks[draws.task].graded_sheets
        return folder / draws.path / "sheet.csv" if folder else None

    def judged(self, draws: Draws) -> bool:
        """Tell whether verdicts can be had: from a verifier, or from a sheet that lies there."""
        sheet = self.filled(draws)
        return sheet.is_file() if sheet else not self.by_hand(draws.task)

    def shards(self, split: str) -> list[str]:
        """Name the shards of a split; how many there are is a matter of scheduling only."""
        count = self.study.shards.get(split, 1)  # type: ignore[call-overload]
        return [f"{index}-of-{count}" for index in range(1, count + 1)]

    def evaluated(self, evaluation: Evaluation) -> Iterator[Draws]:
        """List the completions of one evaluation, for every policy that it is of."""
        models = self.study.models_on(evaluation.task, evaluation.models)
        policies = [self.base(model) for model in models]
        policies += [p for p in self.stated if p.model in models and _wants(evaluation, p)]
        for p in policies:
            if evaluation.iterations == "last" and p.variant != BASE and not self.is_last(p):
                continue
            yield self.draws(p, evaluation.task, evaluation.split, evaluation.decoding, p.seed)

    # ---- identity: all that decides a policy, so that equal ones are found ----

    def identity(self, policy: Policy) -> str:
        """Return the digest of everything that decides a policy, back to the base model."""
        if policy not in self._identities:
            self._identities[policy] = digest(self._identity(policy))
        return self._identities[policy]

    def _identity(self, policy: Policy) -> dict[str, Any]:
        if policy.variant == BASE:
            return self.base_settings(policy.model)
        return {
            "start": self.identity(self.stated_start(policy)),
            "averaged_with": [self.identity(anchor) for anchor in self.averaged_with(policy)],
            "examples": self._examples_identity(policy),
            "training": self.policy_settings(policy),
        }

    def _examples_identity(self, policy: Policy) -> dict[str, Any]:
        left_out = {"draws", "times", "accumulate"}  # the sources say it
        selection = self.selection(policy).model_dump(mode="json", exclude=left_out)
        settings = self._selection_settings(policy) | {"selection": selection}
        sources = [self._source_identity(policy, source) for source in self.sources(policy)]
        return {"settings": settings, "data": self._data(policy.task), "sources": sources}

    def _source_identity(self, policy: Policy, source: Source) -> dict[str, Any]:
        decoding = self.study.decodings[source.draws.decoding].model_dump(mode="json")
        drawn = decoding | {"draws": self.wanted_draws(policy, source)}
        return {
            "name": [source.name, source.age],
            "generator": self.identity(source.draws.policy),
            "drawn": drawn | {"name": source.draws.label, "seed": source.draws.seed},
            **self._prompt(source.draws.policy),
        }

    def _data(self, task: str) -> dict[str, Any]:
        block = self.study.tasks[task].model_dump(mode="json", exclude={"human"})
        return {"task": task, **block}

    # ---- settings: the slice of configuration that each stage reads ----

    def splits(self) -> list[tuple[str, str]]:
        """List the (task, split) that the study uses, apart from the few-shot prompts."""
        used = {(e.task, e.split) for e in self.study.evaluations}
        for variant in self.study.variants.values():
            used |= {(variant.task, "train"), (variant.task, "validation")}
        return sorted(used)

    def base_settings(self, model: str) -> dict[str, Any]:
        """Return what making a base policy reads."""
        return {"source": self.study.models[model].source.model_dump(mode="json")}

    def samples_settings(self, draws: Draws) -> dict[str, Any]:
        """Return how completions are sampled, or searched for."""
        decoding = self.study.decodings[draws.decoding].model_dump(
            mode="json", exclude_defaults=True
        )
        settings: dict[str, Any] = {
            "task": self.module(draws.task),
            "engine": self._engine(draws.policy.model, seeds=self._may_lack_seeds(draws)),
            "decoding": decoding | {"draws": self.count(draws)},
            "address": [draws.split, draws.decoding, draws.seed],
        }
        if draws.window:
            settings["window"] = list(draws.window)
        if draws.hint_after:
            settings |= {"hint": True, "first_try_draws": draws.hint_after[1]}
        return settings | self._prompt(draws.policy) | self._search_settings(draws)

    def _prompt(self, policy: Policy) -> dict[str, Any]:
        """Return the form of a model's prompts, if it is not the default one."""
        return {"prompt": "chat"} if self.study.models[policy.model].prompt == "chat" else {}

    def _search_settings(self, draws: Draws) -> dict[str, Any]:
        """Return what a search for solutions reads besides; nothing where there is none."""
        if draws.search is None:
            return {}
        verifier = self.rewards_settings(draws.task, draws.split)
        return verifier | {"search": draws.search.model_dump(mode="json")}

    def _may_lack_seeds(self, draws: Draws) -> bool:
        """Tell whether draws may come without seeds of their own: not greedy ones, nor a search."""
        return draws.search is None and not self.study.decodings[draws.decoding].greedy

    def _engine(self, model: str, seeds: bool = False) -> dict[str, Any]:
        """Return the engine of a model; the main process of a run has replaced `auto` before.

        seeds: whether the setting of this name counts; else every draw has a seed of its own.
        """
        engine = self.study.models[model].engine
        stated = engine.model_dump(exclude_defaults=True, exclude={"replicas"})
        stated["seeds"] = engine.decided_seeds if seeds else "draw"
        settings = EngineSettings.model_validate(stated)
        return settings.model_dump(mode="json", exclude_defaults=True)

    def rewards_settings(self, task: str, split: str) -> dict[str, Any]:
        """Return what verification reads; tests are held back where policies are trained."""
        unread = None if split == "train" else {"code": {"held_back"}}
        stated = self.study.tasks[task].reward
        reward = stated.model_dump(mode="json", exclude_defaults=True, exclude=unread)
        reward = {key: value for key, value in reward.items() if value != {}}
        module = self.module(task)
        return {"task": module, "verifier": load_task(module).verifier, "reward": reward}

    def examples_settings(self, policy: Policy) -> dict[str, Any]:
        """Return what selection reads; human solutions alone need no seed."""
        sources_read: dict[str, Any] = {}
        sources = self.sources(policy)
        if [source.name for source in sources] not in ([], [MODEL]):
            sources_read["sources"] = [[source.name, source.age] for source in sources]
        wanted = [self.wanted_draws(policy, source) for source in sources]
        if wanted != [self.count(draws) for draws in self.feeds(policy)]:
            sources_read["drawn"] = wanted
        return self._selection_settings(policy) | sources_read

    def _selection_settings(self, policy: Policy) -> dict[str, Any]:
        selection = self.selection(policy)
        unread = {
            "draws",
            "times",
            "accumulate",
        }  # they decide what is drawn and listed as a source
        stated = selection.model_dump(mode="json", exclude_defaults=True, exclude=unread)
        random = {"seed": [policy.seed, policy.iteration]} if selection.model_data else {}
        form = self._prompt(policy)
        return {"task": self.module(policy.task), "selection": stated, **form, **random}

    def policy_settings(self, policy: Policy) -> dict[str, Any]:
        """Return what the M-step reads."""
        method = self.method(policy)
        training = self.study.training_of(policy.variant, policy.model)
        stated = training.model_dump(mode="json", exclude_defaults=True)
        if steps := self.steps(policy):
            stated["steps"] = steps
        m_step = method.m_step.model_dump(mode="json", exclude_defaults=True)
        fitted = {"m_step": m_step} if m_step else {"training": stated}
        return (
            fitted
            | (self._validation(policy) if self.validations(policy) else {})
            | self._prompt(policy)
            | {
                "task": self.module(policy.task),
                "engine": self._engine(policy.model),
                "seed": policy.seed,
            }
        )

    def _validation(self, policy: Policy) -> dict[str, Any]:
        """Return how the reward on the validation split is measured."""
        decoding = self.study.validation
        drawn = decoding.model_dump(mode="json", exclude_defaults=True) | {"draws": decoding.draws}
        judged = self.rewards_settings(policy.task, "validation")
        return judged | _as_selected(self.method(policy)) | {"validation": drawn}

    def steps(self, policy: Policy) -> int | None:
        """Return the optimiser steps that a method fixes for a policy; None: training decides."""
        growth = self.method(policy).steps
        return growth.at(policy.iteration) if growth else None

    @property
    def label(self) -> str:
        """Return the label that every table and figure of the study carries, pins included."""
        kinds = {model.source.kind for model in self.study.models.values()}
        names = ", ".join(sorted(self.study.models))
        label = "embedded model" if "embedded" in kinds else names
        if not self.pinned:
            return label
        few = len(self.pinned) <= _PINS_NAMED
        return f"{label}; pinned: {', '.join(self.pinned) if few else len(self.pinned)}"


def _as_selected(method: Method) -> dict[str, Any]:
    """Return how the reward of validation differs from the verdict: as that of selection does."""
    if not method.selection.model_data:
        return {}
    graded = {"graded": True} if method.selection.reward == "fraction" else {}
    return graded | ({"flip": method.selection.flip} if method.selection.flip else {})


def _wants(evaluation: Evaluation, policy: Policy) -> bool:
    return evaluation.variants is None or policy.variant in evaluation.variants
