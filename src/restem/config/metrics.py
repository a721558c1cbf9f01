"""Which estimates are computed from results, and with which intervals."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from restem.config.base import Strict


class Metrics(Strict):
    """How results per problem are summarised."""

    ks: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(1, 2, 4, 8, 16, 32),
        description="Values of k in pass@k, rising; a decoding gives those up to its draws. Of the "
        "default ones, and in a study with experiments, those are used that some evaluation "
        "draws enough for.",
        min_length=1,
    )
    votes: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(),
        description="Values of k in maj@k (majority vote of k draws), rising; for sampled "
        "decodings of tasks with a single answer.",
    )
    distinct: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(),
        description="Values of k in distinct@k (distinct correct solutions expected among k draws, "
        "divided by k), rising; for sampled decodings.",
    )
    difficulty: str | None = Field(
        default=None,
        description="Decoding of the base model's draws that sort problems by difficulty; nothing "
        "else may be measured with it. Null for no difficulty bins.",
    )
    breakdowns: tuple[Literal["difficulty", "subject", "level"], ...] = Field(
        default=(), description="Groups of problems that are estimated separately."
    )
    confidence: float = Field(
        default=0.95, description="Confidence level of the intervals.", gt=0, lt=1
    )
    resamples: int = Field(
        default=2000, description="Number of bootstrap resamples per interval.", ge=100
    )
    seed: int = Field(default=0, description="Random seed of the bootstrap.", ge=0)

    @field_validator("ks", "votes", "distinct")
    @classmethod
    def _rise(cls, ks: tuple[int, ...]) -> tuple[int, ...]:
        if list(ks) != sorted(set(ks)):
            raise ValueError("list every k once, in rising order")
        return ks


class FalsePositives(Strict):
    """Judge a sample of the kept solutions a second time: how many were rewarded wrongly?

    Answers are compared by a second grader (Math-Verify, which `make second-grader` installs).
    Programs run the tests that `reward.code.held_back` kept out of their reward.
    """

    sample: int = Field(
        default=0,
        description="Number of kept solutions of each policy that are judged again: this many from "
        "the first try, and this many rationalised ones. 0 turns the check off.",
        ge=0,
    )
    seed: int = Field(default=0, description="Random seed of the sample.", ge=0)
    equations: bool = Field(
        default=False,
        description="Also count the solutions that contain a wrong equation of numbers; for tasks "
        "whose solutions calculate line by line, such as gsm8k, chain and story.",
    )
