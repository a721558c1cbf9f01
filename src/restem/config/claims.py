"""A claim of the paper as a test that was written down before the results were seen."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from restem.config.base import Strict

ORIGINS = ("first-try", "rationalised")
EACH = "each"  # stands for every group of a kind
SIDE = r"^[^/]+/(base|[^/]+/(last|all|[1-9][0-9]*))(@(train|test|first-try|rationalised))?$"
Side = Annotated[str, StringConstraints(pattern=SIDE)]


class Group(Strict):
    """A group of problems."""

    kind: Literal["difficulty", "subject", "level"] = Field(
        description="How the problems are grouped."
    )
    name: str = Field(
        description="Name of the group, for instance hard. `each`: one test for every group; "
        "`mean`: the average of all groups, each counting the same."
    )


class Contrast(Strict):
    """A contrast of policies: the sum of one side minus the sum of the other."""

    plus: list[Side] = Field(
        description="Policies that are added, as model/variant/iteration, model/variant/last or "
        "model/base; model/variant/all for the solutions of all iterations. @train or @test "
        "selects another split; @first-try or @rationalised selects the solutions of a claim on "
        "false positives.",
        min_length=1,
    )
    minus: list[Side] = Field(default_factory=list, description="Policies that are subtracted.")
    task: str | None = Field(default=None, description="Task; null for the claim's task.")
    k: list[int] | Literal["all", "largest"] = Field(
        default=[1],
        description="Number of draws in pass@k and maj@k; each k is one test. `all` and `largest` "
        "are those of metrics.ks or metrics.votes that the decoding draws enough for.",
    )
    less_k: int | Literal["larger"] | None = Field(
        default=None,
        description="Subtract the same contrast at this k, to test whether the gap is larger at k; "
        "`larger`: one test for every larger k of the study.",
    )
    same_problems: bool = Field(
        default=False,
        description="Only for false_positives: compare both sides problem by problem, on those "
        "that both have solutions of.",
    )
    group: Group | None = Field(
        default=None, description="Group of problems to test on; null for all problems."
    )
    less_group: str | None = Field(
        default=None,
        description="Subtract the same contrast on this group of the same kind, to test whether "
        "the gap is larger in `group`.",
    )

    @model_validator(mode="after")
    def _compares_two_groups(self) -> "Contrast":
        if self.less_group is None:
            return self
        if self.group is None or EACH in (self.group.name, self.less_group):
            raise ValueError("less_group: name the two groups to compare, this one and `group`")
        if self.less_k is not None:
            raise ValueError("less_group: a contrast compares two groups or two k; leave one out")
        return self


class Claim(Strict):
    """One sentence of the paper, and the tests that open models must pass to support it."""

    id: str = Field(description="Short name that starts with the id of the figure or section.")
    says: str = Field(description="What the paper says, in our words.")
    paper: str | None = Field(default=None, description="The paper's own numbers, if any.")
    where: str = Field(description="Place in the paper.")
    task: str = Field(description="Task of the evaluations.")
    quantity: Literal["accuracy", "pass", "maj", "score", "false_positives"] = Field(
        default="accuracy",
        description="accuracy: greedy decoding; pass, maj: sampled completions; score: the share "
        "of a human's points, or of correct completions where a verifier grades; false_positives: "
        "the share of kept solutions that the check rejects.",
    )
    check: Literal["second grader", "equations", "held-back tests"] | None = Field(
        default=None, description="What rejects solutions; only for false_positives."
    )
    decoding: str | None = Field(
        default=None,
        description="Decoding of the evaluations; required but for accuracy. Null: for accuracy "
        "the greedy decoding that the policies were evaluated with.",
    )
    split: Literal["train", "test"] = Field(default="test", description="Split of the evaluations.")
    expect: Literal["above", "below", "within"] = Field(
        default="above",
        description="Whether the contrast must lie above the margin, below its negative, or "
        "between the two.",
    )
    margin: float = Field(
        default=0.0,
        description="Margin as a share (0.03 is 3 points). Negative with above: the largest loss "
        "that is accepted.",
    )
    tests: list[Contrast] = Field(description="Contrasts that must all hold.", min_length=1)
    premise: Contrast | None = Field(
        default=None,
        description="Contrast whose interval must lie above 0 for the claim to mean anything, for "
        "instance that the larger base model is the better one; the claim is untested otherwise.",
    )

    @model_validator(mode="after")
    def _is_consistent(self) -> "Claim":
        if self.quantity in ("accuracy", "score") and any(t.k != [1] for t in self.tests):
            raise ValueError(f"tests.k: {self.quantity} has no k")
        if self.quantity in ("pass", "maj", "score") and self.decoding is None:
            raise ValueError(f"decoding: name the sampled decoding that {self.quantity} is of")
        self._check_false_positives()
        if self.premise and self.quantity == "false_positives":
            raise ValueError("premise: false_positives have none")
        if self.expect == "within" and self.margin <= 0:
            raise ValueError("margin: within 0 can never be shown; name the largest difference")
        return self

    def _check_false_positives(self) -> None:
        applies = self.quantity == "false_positives"
        sides = [side for test in self.tests for side in (*test.plus, *test.minus)]
        if applies != (self.check is not None):
            raise ValueError("check: name what rejects for false_positives, and for nothing else")
        if any((side.partition("@")[2] in ORIGINS) != applies for side in sides):
            raise ValueError(f"tests: @{' or @'.join(ORIGINS)} ends each side of false_positives")
        if not applies:
            if any("/all" in side for side in sides):
                raise ValueError("tests: all iterations count for false_positives only; name one")
            if any(test.same_problems for test in self.tests):
                raise ValueError("tests: same_problems is for false_positives; others always are")
            return
        if any(test.same_problems and not test.minus for test in self.tests):
            raise ValueError("tests: same_problems: name both sides, plus and minus")
        if any("/base@" in side for side in sides):
            raise ValueError("tests: a base model is trained on no solutions that could be checked")
        if any((t.k, t.less_k, t.group) != ([1], None, None) for t in self.tests):
            raise ValueError("tests: false_positives have no k and no groups")
        if (self.decoding, self.split) != (None, "test"):
            raise ValueError("decoding, split: false_positives are of what policies are trained on")

    def tested_with(self, stand_ins: Mapping[str, Mapping[str, str]]) -> "Claim":
        """Return the claim with models replaced by their stand-ins: by task, new name by name."""

        def renamed(test: Contrast) -> Contrast:
            names = stand_ins.get(test.task or self.task, {})
            sides = {
                key: [_renamed(side, names) for side in getattr(test, key)]
                for key in ("plus", "minus")
            }
            return test.model_copy(update=sides)

        tests = [renamed(test) for test in self.tests]
        premise = renamed(self.premise) if self.premise else None
        return self.model_copy(update={"tests": tests, "premise": premise})

    def at(self, ks: Sequence[int]) -> "Claim":
        """Return the claim with numbers for `all`, `largest` and `larger`: those of a study.

        Without any k the words stay, and the claim cannot be tested.
        """
        if not ks:
            return self
        return self.model_copy(update={"tests": [t for test in self.tests for t in _at(test, ks)]})


def _at(test: Contrast, ks: Sequence[int]) -> list[Contrast]:
    chosen = (
        {"all": list(ks), "largest": [max(ks)]}.get(test.k) if isinstance(test.k, str) else None
    )
    test = test.model_copy(update={"k": chosen}) if chosen else test
    if test.less_k != "larger":
        return [test]
    larger = [k for k in ks if k > max(map(int, test.k))]
    return [test.model_copy(update={"less_k": k}) for k in larger]


def _renamed(side: str, names: Mapping[str, str]) -> str:
    model, _, policy = side.partition("/")
    return f"{names.get(model, model)}/{policy}"
