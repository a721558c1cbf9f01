"""A method is a configuration of the one loop: who draws, what is kept, where training starts."""

from typing import Any, Literal

from pydantic import Field, model_validator

from restem.config.selection import Selection
from restem.config.strict import Strict


class EStep(Strict):
    """Who draws the completions, and how."""

    generator: Literal["base", "last"] = Field(
        default="last", description="The policy that draws: the base model or the last iteration's."
    )
    decoding: str = Field(description="Name of one of the study's decodings.")


class Method(Strict):
    """One self-training method."""

    e_step: EStep | None = Field(default=None, description="Null: nothing is drawn (plain SFT).")
    selection: Selection = Field(
        default_factory=Selection, description="What becomes a training example."
    )
    start: Literal["base", "last"] = Field(
        default="base", description="Weights that fine-tuning starts from in each iteration."
    )
    iterations: int = Field(
        default=1, description="E-step and M-step are done so many times.", ge=1
    )
    training: dict[str, Any] = Field(
        default_factory=dict, description="Keys of `training` that differ for this method."
    )

    @model_validator(mode="after")
    def _has_examples(self) -> "Method":
        if self.e_step is None and self.selection.model_data:
            raise ValueError("without e_step nothing is drawn: set selection.model_data to false")
        if not self.selection.model_data and self.selection.human is None:
            raise ValueError("no source of examples: set selection.human or selection.model_data")
        if not self.selection.model_data and self.e_step is not None:
            raise ValueError("e_step draws what selection.model_data: false throws away")
        return self
