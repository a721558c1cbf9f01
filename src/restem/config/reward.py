"""How completions are verified."""

from typing import Literal

from pydantic import Field

from restem.config.strict import Strict


class Reward(Strict):
    """Choose what counts as an answer, and how long one may be."""

    policy: Literal["strict", "flexible"] = Field(
        default="strict",
        description="strict: the answer must be marked the way the task's prompt marks it; "
        "flexible: any usual marker, else the last number.",
    )
    max_answer_characters: int = Field(
        default=1000, description="A longer answer is incorrect without a look at it.", ge=1
    )
