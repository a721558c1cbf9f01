"""What selection keeps of the verified completions, and with which weights."""

from pydantic import Field

from restem.config.strict import Strict


class Selection(Strict):
    """Turn rewarded completions into training examples."""

    model_data: bool = Field(
        default=True, description="Use completions that the policy drew and the verifier accepted."
    )
    draws: int | None = Field(
        default=None,
        description="Look at the first so many draws of each problem; null for all.",
        ge=1,
    )
    cap: int | None = Field(
        default=10,
        description="Keep at most so many per problem, chosen at random; null for all "
        "(the paper keeps 10, section 3).",
        ge=1,
    )
    deduplicate: bool = Field(
        default=False, description="Keep equal completions of a problem once."
    )
    human: str | None = Field(
        default=None,
        description="Add the reference solutions of this source (for instance human, terse, "
        "careful); null for none.",
    )
