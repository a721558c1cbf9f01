"""How completions are sampled from a policy."""

from pydantic import Field, model_validator

from restem.config.base import Strict


class Decoding(Strict):
    """How the completions of a problem are sampled.

    The filters are applied in vLLM's order, so that every engine samples from the same
    distribution: temperature, min-p, top-k, then top-p on the remaining tokens, renormalised.
    (min-p and top-k commute; transformers' own `generate` applies min-p after top-p, which keeps
    other tokens.)

    The paper trains on N = 32 (MATH) and 64 (APPS) draws at temperature 0.7 with top-k 40, computes
    pass@K at temperature 1.0 with top-p 0.95, and accuracy with greedy decoding.
    """

    draws: int = Field(
        ge=1, description="Completions per problem (N); paper: 32 for MATH, 64 for APPS."
    )
    temperature: float = Field(
        ge=0,
        description="Divisor of the logits; 0 is greedy decoding. Paper: 0.7 for training, 1.0 for "
        "pass@K.",
    )
    top_k: int = Field(
        default=0,
        ge=0,
        description="Keep the k most likely tokens (Fan 2018); 0 turns it off. Paper: 40.",
    )
    top_p: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="Keep the smallest set of most likely tokens with this probability mass "
        "(Holtzman 2020); 1 turns it off. Paper: 0.95 for pass@K.",
    )
    min_p: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Keep tokens with at least this share of the largest probability; 0 turns it "
        "off.",
    )
    max_tokens: int = Field(ge=1, description="Longest completion in tokens; it is cut there.")
    thinking_tokens: int | None = Field(
        default=None,
        ge=0,
        description="Most tokens of thoughts (`<think>…</think>`): then `</think>` is put in, and "
        "the model goes on with its answer. Only with vllm, and for models whose tokenizer has "
        "both; null for no limit but max_tokens.",
    )

    @model_validator(mode="after")
    def _greedy_draws_once(self) -> "Decoding":
        if self.temperature == 0 and self.draws > 1:
            raise ValueError(
                f"temperature 0 is greedy, so all {self.draws} draws would be the same text: "
                "set draws to 1 or temperature above 0"
            )
        return self

    @model_validator(mode="after")
    def _leaves_room_to_answer(self) -> "Decoding":
        if self.thinking_tokens is not None and self.thinking_tokens >= self.max_tokens:
            raise ValueError(
                f"thinking_tokens: {self.thinking_tokens} leaves no room for an answer in "
                f"max_tokens: {self.max_tokens}; choose fewer"
            )
        return self

    @property
    def greedy(self) -> bool:
        """Tell whether the most likely token is always taken."""
        return self.temperature == 0
