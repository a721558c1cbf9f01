"""Which verified completions are kept as training examples, and with which weights."""

from typing import Final, Literal

from pydantic import Field, model_validator

from restem.config.base import Strict, share_of

_MAX_EXPONENT: Final = 80  # exp(88) is more than a loss in float32 can hold


class Selection(Strict):
    """How verified completions become training examples."""

    model_data: bool = Field(
        default=True, description="Use completions that a policy sampled and the verifier accepted."
    )
    draws: int | None = Field(
        default=None,
        description="Number of draws of each problem to use, counted from the first; null for as "
        "many as the decoding has. If it is more than that, more are sampled for this method.",
        ge=1,
    )
    times: int = Field(
        default=1, description="Use this many times the draws that the decoding has.", ge=1
    )
    problem_share: float = Field(
        default=1.0,
        description="Share of the split's problems to train on, counted from the first in the "
        "split's fixed order.",
        gt=0,
        le=1,
    )
    problems: int | None = Field(
        default=None,
        description="Number of problems to train on, counted from the first in the split's fixed "
        "order; null for all.",
        ge=1,
    )
    reward: Literal["verdict", "fraction", "majority", "random", "none"] = Field(
        default="verdict",
        description="verdict: the verifier's; fraction: the share of passed tests; majority: 1 for "
        "the most frequent answer (LMSI); random: 1 for one of the sampled answers, chosen "
        "blindly; none: 1 for all (SSD).",
    )
    flip: float = Field(
        default=0.0,
        description="Share of verdicts to invert, to study noise; in validation too.",
        ge=0,
        le=1,
    )
    threshold: float | list[float] | None = Field(
        default=0.0,
        description="Keep completions with a reward above this value. A list is a schedule by "
        "iteration whose last value stays in force (ReST); null keeps all.",
    )
    cut_off: Literal["drop", "keep"] = Field(
        default="drop",
        description="Completions that max_tokens or the model's context cut off. drop: leave them "
        "out even if their answer is right, because as targets they teach not to end; keep: treat "
        "them like the others.",
    )
    valid_steps: bool = Field(
        default=False, description="Drop completions that contain a wrong equation (RFT)."
    )
    best: int | None = Field(
        default=None,
        description="Number of completions to keep per problem, those with the highest reward; "
        "ties go to the first drawn. Null for all (best-of-N: 1).",
        ge=1,
    )
    top_share: float | None = Field(
        default=None,
        description="Share of all completions to keep, those with the highest reward; null for all "
        "(RAFT's global ranking).",
        gt=0,
        le=1,
    )
    cap: int | None = Field(
        default=10,
        description="Largest number of examples per problem, chosen at random; null for no limit. "
        "The paper keeps 10 (section 3).",
        ge=1,
    )
    quota: Literal["equal", "difficulty"] = Field(
        default="equal",
        description="equal: the cap is the same for every problem; difficulty: it shrinks with the "
        "share of correct draws, so that hard problems keep more (DART).",
    )
    deduplicate: bool | Literal["equations"] = Field(
        default=False,
        description="Keep only one of the equal completions of a problem; equations: completions "
        "with the same list of equations count as equal (RFT).",
    )
    weight: Literal["reward", "exponential", "control_variate"] = Field(
        default="reward",
        description="Weight of an example. reward: its reward (Eq. 3); exponential: exp(reward / "
        "beta), as in RWR; control_variate: TRICE's memory and negative weights.",
    )
    beta: float = Field(default=1.0, description="Temperature of exponential weights.", gt=0)
    accumulate: int | Literal["all"] = Field(
        default=1,
        description="Number of latest iterations whose draws are used, including this one.",
    )
    human: str | None = Field(
        default=None,
        description="Source of reference solutions to add, for instance human, terse or careful; "
        "null for none.",
    )
    human_share_min: float = Field(
        default=0.5,
        description="Smallest share of the problems that must have such a solution; a method with "
        "fewer is refused. 0 accepts any number.",
        ge=0,
        le=1,
    )

    @model_validator(mode="after")
    def _is_consistent(self) -> "Selection":
        if self.accumulate != "all" and self.accumulate < 1:
            raise ValueError("accumulate: 1 is this iteration alone; name a larger number or all")
        if self.quota == "difficulty" and self.cap is None:
            raise ValueError("quota: difficulty shrinks the cap, so set a cap")
        if self.weight == "exponential" and 1 / self.beta > _MAX_EXPONENT:
            raise ValueError(f"beta: exp(1 / beta) is too large a weight below {1 / _MAX_EXPONENT}")
        if self.threshold == []:
            raise ValueError("threshold: a schedule has at least one value")
        return self

    def first_problems(self, count: int) -> int:
        """Return how many of a split's problems are trained on."""
        first = round(share_of(self.problem_share, count))
        return first if self.problems is None else min(first, self.problems)

    def at(self, step: int) -> "Selection":
        """Return the selection of one step of a schedule, counted from 0."""
        if not isinstance(self.threshold, list):
            return self
        now = self.threshold[min(step, len(self.threshold) - 1)]
        return self.model_copy(update={"threshold": now})
