"""What selection keeps of the verified completions, and with which weights."""

from typing import Literal

from pydantic import Field, model_validator

from restem.config.base import Strict


class Selection(Strict):
    """Turn rewarded completions into training examples."""

    model_data: bool = Field(
        default=True, description="Use completions that the policy drew and the verifier accepted."
    )
    draws: int | None = Field(
        default=None,
        description="Look at the first so many draws of each problem; null for as many as the "
        "decoding says. More than those are drawn for this method.",
        ge=1,
    )
    times: int = Field(
        default=1, description="Look at so many times the draws that the decoding says.", ge=1
    )
    problem_share: float | None = Field(
        default=None,
        description="Train on the first problems of the split's fixed order, this share of them; "
        "null for all.",
        gt=0,
        le=1,
    )
    problems: int | None = Field(
        default=None,
        description="Train on the first so many problems of the split's fixed order; null for all.",
        ge=1,
    )
    reward: Literal["verdict", "fraction", "majority", "random", "none"] = Field(
        default="verdict",
        description="verdict: the verifier's; fraction: the share of tests passed; majority: 1 for "
        "the answer drawn most often (LMSI); random: 1 for one of the drawn answers, chosen "
        "blindly; none: 1 for all (SSD).",
    )
    flip: float = Field(
        default=0.0, description="Share of verdicts turned around, to study noise.", ge=0, le=1
    )
    threshold: float | list[float] | None = Field(
        default=0.0,
        description="Keep rewards above it; a list is a schedule by iteration, whose last value "
        "stays (ReST); null keeps every reward.",
    )
    valid_steps: bool = Field(
        default=False, description="Drop completions with a wrong equation in them (RFT)."
    )
    best: int | None = Field(
        default=None,
        description="Keep so many of the highest rewards of a problem, the first drawn among "
        "equals; null for all (best-of-K: 1).",
        ge=1,
    )
    top_share: float | None = Field(
        default=None,
        description="Keep this share of all completions, those of the highest reward; null for "
        "all (RAFT's global ranking).",
        gt=0,
        le=1,
    )
    cap: int | None = Field(
        default=10,
        description="Keep at most so many per problem, chosen at random; null for all "
        "(the paper keeps 10, section 3).",
        ge=1,
    )
    quota: Literal["equal", "difficulty"] = Field(
        default="equal",
        description="equal: the cap holds for every problem; difficulty: it shrinks with the share "
        "of correct draws, so that hard problems keep more (DART).",
    )
    deduplicate: bool | Literal["equations"] = Field(
        default=False,
        description="Keep equal completions of a problem once; equations: those with the same list "
        "of equations count as equal (RFT).",
    )
    weight: Literal["reward", "exponential", "control_variate"] = Field(
        default="reward",
        description="reward: Eq. 3; exponential: exp(reward / beta), RWR; control_variate: the "
        "memory and the negative weights of TRICE.",
    )
    beta: float = Field(default=1.0, description="Temperature of exponential weights.", gt=0)
    accumulate: int | Literal["all"] = Field(
        default=1, description="Look at the draws of so many last iterations, this one included."
    )
    human: str | None = Field(
        default=None,
        description="Add the reference solutions of this source (for instance human, terse, "
        "careful); null for none.",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> "Selection":
        if self.accumulate != "all" and self.accumulate < 1:
            raise ValueError("accumulate: 1 is this iteration alone; name a larger number or all")
        if self.quota == "difficulty" and self.cap is None:
            raise ValueError("quota: difficulty shrinks the cap, so set a cap")
        if self.threshold == []:
            raise ValueError("threshold: a schedule has at least one value")
        return self

    def at(self, step: int) -> "Selection":
        """Return the selection of one step of a schedule, counted from 0."""
        if not isinstance(self.threshold, list):
            return self
        now = self.threshold[min(step, len(self.threshold) - 1)]
        return self.model_copy(update={"threshold": now})
