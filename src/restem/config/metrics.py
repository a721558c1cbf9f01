"""What is computed from per-problem results: which pass@k, and how sure we are of it."""

from typing import Annotated

from pydantic import Field, field_validator

from restem.config.strict import Strict


class Metrics(Strict):
    """How per-problem results are summarised."""

    ks: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(1, 2, 4, 8, 16, 32),
        description="Compute pass@k for these k; a decoding gives those k that it drew enough for.",
        min_length=1,
    )
    confidence: float = Field(
        default=0.95, description="Share of intervals that should hold the truth.", gt=0, lt=1
    )
    resamples: int = Field(
        default=2000, description="Bootstrap resamples behind an interval.", ge=100
    )
    seed: int = Field(default=0, description="Seed of the bootstrap.", ge=0)

    @field_validator("ks")
    @classmethod
    def _rise(cls, ks: tuple[int, ...]) -> tuple[int, ...]:
        if list(ks) != sorted(set(ks)):
            raise ValueError("list every k once, in rising order")
        return ks
