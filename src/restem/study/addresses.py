"""The addresses of a study: where a policy and the completions sampled from it are found."""

from dataclasses import dataclass
from typing import Any

from restem.config.steps import Search

PRETRAINED = "pretrained"
BASE = "base"
HINT = "hint"
BEAM = "beam"
BATCH = "batch"


@dataclass(frozen=True, order=True)
class Policy:
    """The address of a policy; the base model is variant base, seed 0, iteration 0."""

    task: str
    model: str
    variant: str
    seed: int
    iteration: int

    @classmethod
    def of(cls, wildcards: Any) -> "Policy":
        """Return the policy that the wildcards of a Snakemake job address."""
        numbers = int(wildcards.seed), int(wildcards.iteration)
        return cls(wildcards.task, wildcards.model, wildcards.variant, *numbers)

    @property
    def path(self) -> str:
        """Return the folder of the policy, below the study's results."""
        place = f"{self.task}/{self.model}/{self.variant}"
        return f"{place}/seed-{self.seed}/iter-{self.iteration}"


@dataclass(frozen=True, order=True)
class Draws:
    """The address of completions: which policy drew on which split, how, from which seed.

    view: how that differs from drawing on every problem, in parts joined by `+`; empty otherwise.
    `hint-<decoding>-<draws>`: a second try, with the answer, at problems that so many draws of a
    first try did not solve. `beam-<settings of the search>`: searched for. `batch-<first
    problem>-<problems>`: on these only. What is left of a hint's view is that of its first try.
    """

    policy: Policy
    task: str
    split: str
    decoding: str
    seed: int
    view: str = ""

    @classmethod
    def of(cls, wildcards: Any) -> "Draws":
        """Return the completions that the wildcards of a Snakemake job address."""
        decoding, _, view = wildcards.decoding.partition("+")
        split, seed = wildcards.split, int(wildcards.draw_seed)
        return cls(Policy.of(wildcards), wildcards.on, split, decoding, seed, view)

    @property
    def label(self) -> str:
        """Return decoding and view as one name of a folder."""
        return f"{self.decoding}+{self.view}" if self.view else self.decoding

    @property
    def path(self) -> str:
        """Return the folder of the completions, below the study's results."""
        return f"{self.policy.path}/{self.task}/{self.split}/{self.label}/seed-{self.seed}"

    @property
    def window(self) -> tuple[int, int] | None:
        """Return the first problem of a batch and the number of its problems."""
        if (said := self._part(BATCH)) is None:
            return None
        first, count = said.split("-")
        return int(first), int(count)

    @property
    def hint_after(self) -> tuple[str, int] | None:
        """Return decoding and number of draws of the first try that hints follow."""
        if (said := self._part(HINT)) is None:
            return None
        decoding, _, draws = said.rpartition("-")
        return decoding, int(draws)

    @property
    def search(self) -> Search | None:
        """Return how completions are searched for; None where they are drawn one by one."""
        if (said := self._part(BEAM)) is None:
            return None
        return Search.model_validate(dict(zip(Search.model_fields, said.split("-"), strict=True)))

    def _part(self, kind: str) -> str | None:
        """Return what the part of a kind says, or None if the view has no such part."""
        parts = (part.partition("-") for part in self.view.split("+"))
        return next((said for name, _, said in parts if name == kind), None)


def view_of(*parts: str) -> str:
    """Join the parts of a view, those that are empty left out."""
    return "+".join(filter(None, parts))


def searched(search: Search | None) -> str:
    """Write the part of a view that states a search; all of its settings are numbers."""
    return "-".join([BEAM, *(str(value) for _, value in search)]) if search else ""


@dataclass(frozen=True)
class Source:
    """Completions that examples are selected from, and the name under which they are listed.

    age: iterations since they were drawn.
    """

    name: str
    age: int
    draws: Draws
