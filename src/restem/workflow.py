"""The walk of a study: which policies exist, what feeds each, and which slice each stage reads.

Snakemake knows files; this module knows the study. The rules ask it for the inputs and the
settings of an address, so that no rule holds logic. Policies whose whole recipe is equal are one
artifact: the variant that the study lists first owns it, the others point to it.
"""

import pkgutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import restem.figures
from restem.config.errors import nearest
from restem.config.method import Method
from restem.config.study import Evaluation, Study
from restem.errors import RestemError
from restem.provenance import digest
from restem.tasks.registry import load_task

PRETRAINED = "pretrained"
BASE = "base"


@dataclass(frozen=True, order=True)
class Policy:
    """The address of a policy; the base model is variant base, seed 0, iteration 0."""

    task: str
    model: str
    variant: str
    seed: int
    iteration: int

    @property
    def path(self) -> str:
        """Return the folder of the policy, below the study's results."""
        place = f"{self.task}/{self.model}/{self.variant}"
        return f"{place}/seed-{self.seed}/iter-{self.iteration}"


@dataclass(frozen=True, order=True)
class Draws:
    """The address of completions: which policy drew on which split, how, from which seed."""

    policy: Policy
    task: str
    split: str
    decoding: str
    seed: int

    @property
    def path(self) -> str:
        """Return the folder of the completions, below the study's results."""
        return f"{self.policy.path}/{self.task}/{self.split}/{self.decoding}/seed-{self.seed}"


class Walk:
    """All artifacts of a study, by address."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self._recipes: dict[Policy, str] = {}
        self._check_modules()

    def _check_modules(self) -> None:
        """Refuse a task or a figure that there is no module for."""
        for name in self.study.tasks:
            load_task(self.module(name))
        known = [module.name for module in pkgutil.iter_modules(restem.figures.__path__)]
        for name in self.study.figures:
            if name not in known:
                raise RestemError(
                    f"there is no figure {name!r}{nearest(name, known)}",
                    "figures",
                    "name a figure that is there, or add a module with a function draw",
                )

    def base(self, model: str) -> Policy:
        """Return the base policy of a model."""
        return Policy(PRETRAINED, model, BASE, 0, 0)

    @cached_property
    def stated(self) -> list[Policy]:
        """List every trained policy that the study states, in its order, shared or not."""
        return list(self._stated())

    def _stated(self) -> Iterator[Policy]:
        for name, variant in self.study.variants.items():
            last = variant.iterations or self.study.methods[variant.method].iterations
            for model in variant.models or self.study.models:
                for seed in self.study.seeds:
                    for iteration in range(1, last + 1):
                        yield Policy(variant.task, model, name, seed, iteration)

    @cached_property
    def owners(self) -> dict[Policy, Policy]:
        """Map every stated policy to the one whose artifact it is."""
        first: dict[str, Policy] = {}
        return {p: first.setdefault(self.recipe(p), p) for p in self.stated}

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
        return self.owner(self._origin(policy, self._method(policy).start))

    def e_step(self, policy: Policy) -> Draws | None:
        """Return the completions that a policy's examples are selected from."""
        step = self._method(policy).e_step
        if step is None:
            return None
        generator = self._origin(policy, step.generator)
        return self.draws(generator, policy.task, "train", step.decoding, policy.seed)

    def draws(self, policy: Policy, task: str, split: str, decoding: str, seed: int) -> Draws:
        """Return the address of completions; greedy ones do not depend on a seed."""
        greedy = self.study.decodings[decoding].temperature == 0
        return Draws(self.owner(policy), task, split, decoding, 0 if greedy else seed)

    def sampled(self) -> list[Draws]:
        """List all completions of the study, drawn for an E-step or for an evaluation."""
        steps = [draws for policy in self.trained if (draws := self.e_step(policy))]
        return list(dict.fromkeys([*steps, *self.evaluations()]))

    def evaluations(self) -> list[Draws]:
        """List the completions that are evaluated: each address once."""
        found = (d for e in self.study.evaluations for d in self._evaluated(e))
        return list(dict.fromkeys(found))

    def shards(self, split: str) -> list[str]:
        """Name the shards of a split; how many there are is a matter of scheduling only."""
        count = self.study.shards.get(split, 1)  # type: ignore[call-overload]
        return [f"{index}-of-{count}" for index in range(1, count + 1)]

    def _evaluated(self, evaluation: Evaluation) -> Iterator[Draws]:
        policies = [self.base(model) for model in self.study.models]
        policies += [p for p in self.stated if evaluation.iterations == "all" or self._is_last(p)]
        for p in policies:
            yield self.draws(p, evaluation.task, evaluation.split, evaluation.decoding, p.seed)

    def _is_last(self, policy: Policy) -> bool:
        return replace(policy, iteration=policy.iteration + 1) not in self._stated_set

    @cached_property
    def _stated_set(self) -> set[Policy]:
        return set(self.stated)

    def _origin(self, policy: Policy, which: str) -> Policy:
        """Return the base policy, or the one before; as stated, shared or not."""
        if which == BASE or policy.iteration == 1:
            return self.base(policy.model)
        return replace(policy, iteration=policy.iteration - 1)

    def _method(self, policy: Policy) -> Method:
        return self.study.methods[self.study.variants[policy.variant].method]

    # ---- recipes: all that decides a policy, so that equal ones are found ----

    def recipe(self, policy: Policy) -> str:
        """Return the digest of everything that decides a policy, back to the base model."""
        if policy not in self._recipes:
            self._recipes[policy] = digest(self._recipe(policy))
        return self._recipes[policy]

    def _recipe(self, policy: Policy) -> dict[str, Any]:
        if policy.variant == BASE:
            return self.base_settings(policy.model)
        method = self._method(policy)
        return {
            "start": self.recipe(self._origin(policy, method.start)),
            "examples": self._examples_recipe(policy, method),
            "training": self.policy_settings(policy),
        }

    def _examples_recipe(self, policy: Policy, method: Method) -> dict[str, Any]:
        selection = method.selection.model_dump(mode="json", exclude={"draws"})
        settings = self.examples_settings(policy) | {"selection": selection}
        recipe = {"settings": settings, "data": self._data(policy.task)}
        if method.e_step is None:
            return recipe
        decoding = self.study.decodings[method.e_step.decoding]
        generator = self.recipe(self._origin(policy, method.e_step.generator))
        drawn = decoding.model_dump(mode="json") | {
            "draws": method.selection.draws or decoding.draws,
            "name": method.e_step.decoding,
        }
        return recipe | {"generator": generator, "drawn": drawn}

    def _data(self, task: str) -> dict[str, Any]:
        return {"task": task, **self.study.tasks[task].model_dump(mode="json")}

    # ---- settings: the slice of configuration that each stage reads ----

    def module(self, task: str) -> str:
        """Return the module in restem.tasks that a task of the study uses."""
        return self.study.tasks[task].module or task

    def problems_settings(self, task: str, split: str) -> dict[str, Any]:
        """Return what loading one split reads."""
        stated = self.study.tasks[task].data.model_dump(mode="json", exclude_defaults=True)
        others = {"train", "validation", "test", "shots"} - {split}
        data = {key: value for key, value in stated.items() if key not in others}
        return {"task": self.module(task), "split": split, "data": data}

    def overlap_settings(self) -> dict[str, Any]:
        """Return what the overlap report reads: the names of the tables, in order."""
        return {"tables": [[task, split] for task, split in self.splits()]}

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
        """Return what drawing completions reads."""
        decoding = self.study.decodings[draws.decoding]
        return {
            "task": self.module(draws.task),
            "engine": self._engine(draws.policy.model),
            "decoding": decoding.model_dump(mode="json", exclude_defaults=True)
            | {"draws": decoding.draws},
            "address": [draws.split, draws.decoding, draws.seed],
        }

    def _engine(self, model: str) -> dict[str, Any]:
        return self.study.models[model].engine.model_dump(mode="json", exclude_defaults=True)

    def rewards_settings(self, task: str) -> dict[str, Any]:
        """Return what verification reads."""
        reward = self.study.tasks[task].reward.model_dump(mode="json", exclude_defaults=True)
        module = self.module(task)
        return {"task": module, "verifier": load_task(module).verifier, "reward": reward}

    def examples_settings(self, policy: Policy) -> dict[str, Any]:
        """Return what selection reads; human solutions alone need no seed."""
        selection = self._method(policy).selection
        stated = selection.model_dump(mode="json", exclude_defaults=True)
        random = {"seed": [policy.seed, policy.iteration]} if selection.model_data else {}
        return {"task": self.module(policy.task), "selection": stated, **random}

    def policy_settings(self, policy: Policy) -> dict[str, Any]:
        """Return what fine-tuning reads."""
        variant = self.study.variants[policy.variant]
        training = self.study.training_of(variant.method, policy.model)
        decoding = self.study.decodings[self.study.validation_decoding]
        return {
            **self.rewards_settings(policy.task),
            "training": training.model_dump(mode="json", exclude_defaults=True),
            "engine": self._engine(policy.model),
            "validation": decoding.model_dump(mode="json", exclude_defaults=True)
            | {"draws": decoding.draws},
            "seed": policy.seed,
        }

    def metrics_settings(self, draws: Draws) -> dict[str, Any]:
        """Return the address that the metrics of some completions carry."""
        address = asdict(draws.policy) | {"train_task": draws.policy.task}
        measured = {"task": draws.task, "split": draws.split, "decoding": draws.decoding}
        return address | measured

    def summary_settings(self) -> dict[str, Any]:
        """Return what the summary reads: estimators, and which names share an artifact."""
        aliases = [[asdict(owner), asdict(policy)] for owner, policy in self.aliases]
        metrics = self.study.metrics.model_dump(mode="json", exclude_defaults=True)
        return {"metrics": metrics, "aliases": aliases}

    def tracking_settings(self) -> dict[str, Any]:
        """Return what publishing reads."""
        tracking = self.study.tracking.model_dump(mode="json", exclude_defaults=True)
        return {"study": self.study.study, "note": self.note, "tracking": tracking}

    def figure_settings(self, figure: str) -> dict[str, Any]:
        """Return what one figure reads."""
        return {"figure": figure, **self.table_settings()}

    def table_settings(self) -> dict[str, Any]:
        """Return what every presentation reads: its label, and the task that was trained on."""
        trained = [variant.task for variant in self.study.variants.values()]
        home = (trained or [self.study.evaluations[0].task])[0]
        confidence = self.study.metrics.confidence
        return {"note": self.note, "home": home, "confidence": confidence}

    @property
    def note(self) -> str:
        """Return the label that every table and figure of the study carries."""
        kinds = {model.source.kind for model in self.study.models.values()}
        return "embedded model" if "embedded" in kinds else ", ".join(sorted(self.study.models))
