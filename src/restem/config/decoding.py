"""How completions are drawn from a policy."""

from pydantic import Field, model_validator

from restem.config.base import Strict


class Decoding(Strict):
    """Say how the completions of a problem are drawn.

    The filters apply in vLLM's order, so that every engine draws from the same distribution:
    temperature, min-p, top-k, then top-p on what those left, renormalised. (min-p and top-k
    commute; transformers' own `generate` cuts min-p after top-p, which keeps other tokens.)

    The paper: N = 32 (MATH) and 64 (APPS) draws at temperature 0.7 with top-k 40 for training;
    temperature 1.0 with top-p 0.95 for pass@K; greedy for accuracy.
    """

    draws: int = Field(ge=1, description="completions per problem (N); paper: 32 MATH, 64 APPS")
    temperature: float = Field(
        ge=0, description="divides the logits; 0 = greedy; paper: 0.7 training, 1.0 pass@K"
    )
    top_k: int = Field(
        default=0, ge=0, description="keep the k likeliest tokens (Fan 2018); 0 = off; paper: 40"
    )
    top_p: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="keep the smallest set of likeliest tokens with this mass (Holtzman 2020); "
        "1 = off; paper: 0.95 for pass@K",
    )
    min_p: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="keep tokens at least this share as likely as the likeliest; 0 = off",
    )
    max_tokens: int = Field(ge=1, description="longest completion, in tokens; then it is cut")

    @model_validator(mode="after")
    def _greedy_is_one_draw(self) -> "Decoding":
        if self.temperature == 0 and self.draws > 1:
            raise ValueError(
                f"temperature 0 is greedy, so all {self.draws} draws would be the same text: "
                "set draws to 1 or temperature above 0"
            )
        return self

    @property
    def greedy(self) -> bool:
        """Tell whether the likeliest token is always taken."""
        return self.temperature == 0
