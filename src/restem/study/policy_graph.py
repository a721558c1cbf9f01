"""The policies that a study states: who samples for each, and which weights each starts from.

Addresses here are as stated; `restem.study.graph` knows which of them are one artifact.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any

from restem.config.method import Method
from restem.config.selection import Selection
from restem.config.study import Study
from restem.config.variant import Variant
from restem.study.addresses import (
    BASE,
    BATCH,
    HINT,
    PRETRAINED,
    Draws,
    Policy,
    Source,
    searched,
    view_of,
)

HUMAN = "human"
MODEL = "model"
REFERENCE = "reference"  # says which problems may be used; nothing of it becomes an example


class PolicyGraph:
    """The policies of a study and their ancestors."""

    def __init__(self, study: Study) -> None:
        self.study = study

    def module(self, task: str) -> str:
        """Return the module in restem.tasks that a task of the study uses."""
        return self.study.tasks[task].module or task

    def problems_settings(self, task: str, split: str) -> dict[str, Any]:
        """Return what loading one split reads."""
        stated = self.study.tasks[task].data.model_dump(mode="json", exclude_defaults=True)
        others = {"train", "validation", "test", "shots"} - {split}
        data = {key: value for key, value in stated.items() if key not in others}
        return {"task": self.module(task), "split": split, "data": data}

    def base(self, model: str) -> Policy:
        """Return the base policy of a model."""
        return Policy(PRETRAINED, model, BASE, 0, 0)

    @cached_property
    def stated(self) -> list[Policy]:
        """List every trained policy that the study states, in its order, shared or not."""
        return [
            Policy(variant.task, model, name, seed, iteration)
            for name, variant in self.study.variants.items()
            for model in self.study.models_on(variant.task, variant.models)
            for seed in self.study.seeds
            for iteration in range(1, self.iterations(name) + 1)
        ]

    @cached_property
    def stated_set(self) -> set[Policy]:
        """Return the stated policies as a set."""
        return set(self.stated)

    def iterations(self, variant: str) -> int:
        """Return the number of a variant's iterations."""
        stated = self.study.variants[variant]
        return stated.iterations or self.study.method_of(variant).iterations

    def last(self, variant: str, model: str, seed: int) -> Policy:
        """Return the policy of a variant's last iteration."""
        task = self.study.variants[variant].task
        return Policy(task, model, variant, seed, self.iterations(variant))

    def is_last(self, policy: Policy) -> bool:
        """Tell whether no later iteration is stated."""
        return replace(policy, iteration=policy.iteration + 1) not in self.stated_set

    def origin(self, policy: Policy, which: str) -> Policy:
        """Return the policy that base, last, sft or teacher names, seen from another one."""
        if which == BASE:
            return self.base(policy.model)
        if which == "teacher":
            return self._teacher(policy)
        if which == "last" and policy.iteration > 1:
            return replace(policy, iteration=policy.iteration - 1)
        variant = self.variant(policy)
        if self.method(policy).initial == "sft" and variant.sft:
            return self.last(variant.sft, policy.model, policy.seed)
        return self.base(policy.model)

    def generator(self, policy: Policy) -> Policy | None:
        """Return the policy that draws for an iteration, or None where nothing is drawn."""
        step = self.method(policy).e_step
        if step is None:
            return None
        grow = (policy.iteration - 1) // step.every * step.every + 1
        return self.origin(replace(policy, iteration=grow), step.generator)

    def sources(self, policy: Policy) -> list[Source]:
        """List what a policy's examples are selected from, this iteration's draws first."""
        sources = list(self._drawn(policy))
        decoding = self.method(policy).solved_by_base
        if decoding is not None:
            reference = self._on_train(policy, self.base(policy.model), decoding)
            sources.append(Source(REFERENCE, 0, reference))
        return sources

    def _drawn(self, policy: Policy) -> Iterator[Source]:
        """Walk back over the iterations whose draws are looked at, each address once."""
        method = self.method(policy)
        reach = method.selection.accumulate
        first = 1 if reach == "all" else max(1, policy.iteration - reach + 1)
        seen: set[Draws] = set()
        for iteration in range(policy.iteration, first - 1, -1):
            for name, draws in self._e_step(replace(policy, iteration=iteration)):
                if draws not in seen:
                    seen.add(draws)
                    yield Source(name, policy.iteration - iteration, draws)

    def _e_step(self, policy: Policy) -> Iterator[tuple[str, Draws]]:
        step, generator = self.method(policy).e_step, self.generator(policy)
        if step is None or generator is None:
            return
        batch = f"{BATCH}-{step.first_problem(policy.iteration)}-{step.batch}" if step.batch else ""
        view = view_of(searched(step.search), batch)
        draws = replace(self._on_train(policy, generator, step.decoding), view=view)
        yield MODEL, draws
        if step.hint:
            yield HINT, self._second_try(policy, draws, step.hint)

    def _on_train(self, policy: Policy, generator: Policy, decoding: str) -> Draws:
        seed = 0 if self.study.decodings[decoding].greedy else policy.seed
        return Draws(generator, policy.task, "train", decoding, seed)

    def _second_try(self, policy: Policy, first: Draws, decoding: str) -> Draws:
        """Return the draws with hints that follow a first try; their address names it whole."""
        again = self._on_train(policy, first.policy, decoding)
        tried = self.wanted_draws(policy, Source(MODEL, 0, first))
        view = view_of(f"{HINT}-{first.decoding}-{tried}", first.view)
        seed = max(again.seed, first.seed)  # a greedy one follows the first try of every seed
        return replace(again, seed=seed, view=view)

    def first_try(self, draws: Draws) -> Draws | None:
        """Return the completions that a second try, with hints, comes after."""
        if draws.hint_after is None:
            return None
        decoding, _ = draws.hint_after
        _, _, view = draws.view.partition("+")
        seed = 0 if self.study.decodings[decoding].greedy else draws.seed
        return replace(draws, decoding=decoding, seed=seed, view=view)

    def wanted_draws(self, policy: Policy, source: Source) -> int:
        """Return how many draws of each problem a policy looks at in one of its sources."""
        decoding = self.study.decodings[source.draws.decoding]
        if source.name != MODEL:
            return decoding.draws
        selection, search = self.method(policy).selection, source.draws.search
        if search:
            return min(selection.draws or search.beams, search.beams)
        return selection.draws or selection.times * decoding.draws

    def _teacher(self, policy: Policy) -> Policy:
        teacher = self.variant(policy).teacher
        assert teacher is not None, "the study was checked for this"
        if teacher.variant is None:
            return self.base(teacher.model)
        last = self.last(teacher.variant, teacher.model, policy.seed)
        return replace(last, iteration=teacher.iteration or last.iteration)

    def selection(self, policy: Policy) -> Selection:
        """Return how a policy's examples are selected, with what only a study can say."""
        selection = self.method(policy).selection_at(policy.iteration)
        if selection.human != HUMAN:
            return selection
        return selection.model_copy(update={"human": self.study.tasks[policy.task].human})

    def variant(self, policy: Policy) -> Variant:
        """Return what the study says of a policy's variant."""
        return self.study.variants[policy.variant]

    def method(self, policy: Policy) -> Method:
        """Return the method of a policy's variant."""
        return self.study.method_of(policy.variant)
