"""The two steps of an iteration: how completions are sampled, and how the policy is made.

Apart from `Selection`, so that a new key there leaves samples and policies as they are.
"""

from typing import Literal

from pydantic import Field, model_validator

from restem.config.base import Strict


class Search(Strict):
    """A beam search guided by the verifier (the expert of ExIt, Anthony et al. 2017)."""

    beams: int = Field(default=2, description="Number of partial solutions kept.", ge=1)
    expansions: int = Field(
        default=4, description="Continuations sampled from each partial solution.", ge=1
    )
    rollouts: int = Field(
        default=2, description="Completions sampled from each continuation to estimate it.", ge=1
    )
    step_tokens: int = Field(default=16, description="Tokens per continuation.", ge=1)


class EStep(Strict):
    """Which policy samples completions of training problems, and how."""

    generator: Literal["base", "last", "teacher"] = Field(
        default="last",
        description="Policy that samples: the base model, that of the last iteration, or the "
        "variant's `teacher`.",
    )
    decoding: str = Field(description="Name of one of the study's decodings.")
    every: int = Field(
        default=1,
        description="Sample again every this many iterations; the iterations between select from "
        "the same draws (ReST: Improve steps per Grow step).",
        ge=1,
    )
    batch: int | None = Field(
        default=None,
        description="Number of problems per iteration: each iteration samples on the next ones, "
        "and starts over after the last; null for all problems (RAFT, IML).",
        ge=1,
    )
    hint: str | None = Field(
        default=None,
        description="Decoding of a second try, with the answer in the question, at problems "
        "without a correct draw. Examples do not show the hint (STaR's rationalisation).",
    )
    search: Search | None = Field(
        default=None, description="Search for solutions instead of sampling them independently."
    )

    @model_validator(mode="after")
    def _search_is_alone(self) -> "EStep":
        if self.search is not None and (self.batch is not None or self.hint is not None):
            raise ValueError("search goes with neither batch nor hint")
        return self

    def first_problem(self, iteration: int) -> int:
        """Return the place of the first problem of an iteration's batch."""
        return (self.batch or 0) * ((iteration - 1) // self.every)


class MStep(Strict):
    """How examples become the next policy."""

    kind: Literal["fine_tune", "shots", "prompt", "interpolate"] = Field(
        default="fine_tune",
        description="fine_tune: train the weights; shots: put examples into the prompt (in-context "
        "learning); prompt: the best of several such prompts on validation problems; interpolate: "
        "average the weights of the base model and of the variant's `sft` (WiSE-FT).",
    )
    shots: int = Field(default=8, description="Number of examples in a prompt.", ge=1)
    candidates: int = Field(
        default=8, description="Number of prompts that are tried, for kind: prompt.", ge=1
    )
    share: float = Field(
        default=0.5,
        description="Weight of the fine-tuned model in the average, for kind: interpolate.",
        ge=0,
        le=1,
    )
