"""What is computed from per-problem results: which pass@k, and how sure we are of it."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from restem.config.base import Strict


class Metrics(Strict):
    """How per-problem results are summarised."""

    ks: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(1, 2, 4, 8, 16, 32),
        description="Compute pass@k for these k; a decoding gives those k that it drew enough for.",
        min_length=1,
    )
    votes: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(),
        description="Compute maj@k for these k, from sampled decodings with a single answer each.",
    )
    difficulty: str | None = Field(
        default=None,
        description="Decoding under which the base model is evaluated to sort problems by "
        "difficulty; no other result may come from these draws. Null for no such bins.",
    )
    breakdowns: tuple[Literal["difficulty", "subject", "level"], ...] = Field(
        default=(), description="Groups of problems for which estimates are shown apart."
    )
    confidence: float = Field(
        default=0.95, description="Share of intervals that should hold the truth.", gt=0, lt=1
    )
    resamples: int = Field(
        default=2000, description="Bootstrap resamples behind an interval.", ge=100
    )
    seed: int = Field(default=0, description="Seed of the bootstrap.", ge=0)

    @field_validator("ks", "votes")
    @classmethod
    def _rise(cls, ks: tuple[int, ...]) -> tuple[int, ...]:
        if list(ks) != sorted(set(ks)):
            raise ValueError("list every k once, in rising order")
        return ks


class FalsePositives(Strict):
    """Judge a sample of the kept solutions a second time: how many of them are false positives?

    Answers are compared by a second grader (Math-Verify, which `make second-grader` installs), programs run
    the tests that `reward.code.held_back` kept from their reward.
    """

    sample: int = Field(
        default=0,
        description="Kept solutions of each policy that are judged again: so many of those found "
        "on the first try and so many rationalised ones. 0 for none.",
        ge=0,
    )
    seed: int = Field(default=0, description="Seed of the sample.", ge=0)
    steps: bool = Field(
        default=False,
        description="Also count the solutions in which an equation of numbers is wrong; for tasks "
        "whose solutions calculate line by line, such as gsm8k, chain and story.",
    )
