"""What a study trains and what it measures: variants of methods, and evaluations."""

from typing import Any, Literal

from pydantic import Field

from restem.config.base import Strict


class Teacher(Strict):
    """The policy of another model that draws for this one (distillation)."""

    model: str = Field(description="One of the study's models.")
    variant: str | None = Field(default=None, description="Its variant; null: the base model.")
    iteration: int | None = Field(default=None, description="Null: its last one.", ge=1)


class Variant(Strict):
    """A method on a task, with the models that it is run on."""

    method: str = Field(description="Name of a method in config/methods or in `methods`.")
    task: str = Field(description="Task to train on.")
    models: list[str] | None = Field(
        default=None, description="Models to run it on; null for all.", min_length=1
    )
    iterations: int | None = Field(default=None, description="Overrides the method's.", ge=1)
    changes: dict[str, Any] = Field(
        default_factory=dict,
        description="Keys of the method that differ here, such as {selection: {flip: 0.1}}.",
    )
    sft: str | None = Field(
        default=None, description="The variant that a method with `initial: sft` begins with."
    )
    teacher: Teacher | None = Field(
        default=None, description="Who draws for a method with `generator: teacher`."
    )


class Evaluation(Strict):
    """One split under one decoding, for some of the policies."""

    task: str = Field(description="Task to evaluate on.")
    split: Literal["train", "validation", "test"] = Field(description="Split to evaluate on.")
    decoding: str = Field(description="Name of one of the decodings.")
    iterations: Literal["all", "last"] = Field(
        default="all", description="Which iterations of each variant; the base model always counts."
    )
    variants: list[str] | None = Field(
        default=None, description="Which variants, besides the base model; null for all."
    )
    models: list[str] | None = Field(
        default=None, description="Of which models; null for all.", min_length=1
    )
