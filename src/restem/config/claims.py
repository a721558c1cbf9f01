"""A claim of the paper as a test that was fixed before the results were seen."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from restem.config.base import Strict

ORIGINS = ("first-try", "rationalised")
SIDE = r"^[^/]+/(base|[^/]+/(last|[0-9]+))(@(train|test|first-try|rationalised))?$"
Side = Annotated[str, StringConstraints(pattern=SIDE)]


class Group(Strict):
    """A part of the problems."""

    kind: Literal["difficulty", "subject", "level"] = Field(description="What sorts the problems.")
    name: str = Field(description="Which of its groups, for instance hard.")


class Contrast(Strict):
    """A contrast of policies: the sum of one side minus the sum of the other."""

    plus: list[Side] = Field(
        description="Policies as model/variant/iteration, model/variant/last or model/base; "
        "@train or @test for another split; of false positives @first-try or @rationalised.",
        min_length=1,
    )
    minus: list[Side] = Field(default_factory=list, description="Policies subtracted from them.")
    task: str | None = Field(default=None, description="Overrides the claim's.")
    k: list[int] = Field(
        default=[1], description="For pass@k and maj@k: the claim is tested for each k."
    )
    less_k: int | None = Field(
        default=None, description="Subtract the same contrast at this k: is the gap larger at k?"
    )
    group: Group | None = Field(default=None, description="Only these problems.")


class Claim(Strict):
    """One sentence of the paper, and what must hold of open models for it to be supported."""

    id: str = Field(description="Short name; starts with the figure's or section's id.")
    says: str = Field(description="What the paper says, in our words.")
    paper: str | None = Field(
        default=None, description="The paper's own numbers, where it has any."
    )
    where: str = Field(description="Place in the paper.")
    task: str = Field(description="Task that is evaluated.")
    quantity: Literal["accuracy", "pass", "maj", "false_positives"] = Field(
        default="accuracy",
        description="accuracy: greedy decoding; pass, maj: sampled; false_positives: the share of "
        "kept solutions that the audit rejects.",
    )
    check: Literal["second grader", "equations", "held-back tests"] | None = Field(
        default=None, description="What rejects, for false_positives only."
    )
    decoding: str = Field(default="greedy", description="Decoding of the evaluation.")
    split: Literal["train", "test"] = Field(default="test", description="Split that is evaluated.")
    expect: Literal["above", "below", "within"] = Field(
        default="above", description="The contrast lies above the margin, below its negative, or "
        "between the two."
    )  # fmt: skip
    margin: float = Field(
        default=0.0,
        description="In shares, not in points; negative for above: no worse than by so much.",
    )
    tests: list[Contrast] = Field(description="All of them must hold.", min_length=1)

    @model_validator(mode="after")
    def _makes_sense(self) -> "Claim":
        if self.quantity == "accuracy" and any(test.k != [1] for test in self.tests):
            raise ValueError("tests.k: accuracy has no k")
        self._fits_the_audit()
        if self.expect == "within" and self.margin <= 0:
            raise ValueError("margin: within 0 can never be shown; name the largest difference")
        return self

    def _fits_the_audit(self) -> None:
        audited = self.quantity == "false_positives"
        sides = [side for test in self.tests for side in (*test.plus, *test.minus)]
        if audited != (self.check is not None):
            raise ValueError("check: name what rejects for false_positives, and for nothing else")
        if any((side.partition("@")[2] in ORIGINS) != audited for side in sides):
            raise ValueError(f"tests: @{' or @'.join(ORIGINS)} ends each side of false_positives")
        if audited and any("/base@" in side for side in sides):
            raise ValueError("tests: a base model is trained on no solutions that could be audited")
        if audited and any((t.k, t.less_k, t.group) != ([1], None, None) for t in self.tests):
            raise ValueError("tests: false_positives have no k and no groups")
        if audited and (self.decoding, self.split) != ("greedy", "test"):
            raise ValueError("decoding, split: false_positives are of what policies are trained on")

    def tested_with(self, stand_ins: Mapping[str, Mapping[str, str]]) -> "Claim":
        """Return the claim about the models that stand, on its tasks, for those that it names."""
        tests = [
            test.model_copy(
                update={
                    "plus": [_renamed(side, names) for side in test.plus],
                    "minus": [_renamed(side, names) for side in test.minus],
                }
            )
            for test in self.tests
            for names in (stand_ins.get(test.task or self.task, {}),)
        ]
        return self.model_copy(update={"tests": tests})


def _renamed(side: str, names: Mapping[str, str]) -> str:
    model, _, policy = side.partition("/")
    return f"{names.get(model, model)}/{policy}"
