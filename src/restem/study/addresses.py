"""The addresses of a study: where a policy and the completions sampled from it are found."""

from dataclasses import dataclass
from typing import Any

PRETRAINED = "pretrained"
BASE = "base"
HINT = "hint"
BEAM = "beam"


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

    view: how that differs from drawing once on every problem: `hint` (a second try, with the
    answer), `beam` (searched), `batch-<first problem>-<problems>`; empty otherwise.
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
        if not self.view.startswith("batch-"):
            return None
        _, first, count = self.view.split("-")
        return int(first), int(count)


@dataclass(frozen=True)
class Source:
    """Completions that examples are selected from, and the name under which they are listed.

    age: iterations since they were drawn.
    """

    name: str
    age: int
    draws: Draws
