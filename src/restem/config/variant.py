"""What a study trains and what it measures: variants of methods, and evaluations."""

from typing import Any, Literal

from pydantic import Field

from restem.config.base import Strict


class Teacher(Strict):
    """The policy of another model that samples the completions (distillation)."""

    model: str = Field(description="Name of one of the study's models.")
    variant: str | None = Field(
        default=None, description="Variant of that model; null for the base model."
    )
    iteration: int | None = Field(
        default=None, description="Iteration of the variant; null for the last one.", ge=1
    )


class Variant(Strict):
    """A method on a task, with the models that are trained."""

    method: str = Field(description="Name of a method, from config/methods or from `methods`.")
    task: str = Field(description="Task to train on.")
    models: list[str] | None = Field(
        default=None, description="Models to train; null for all.", min_length=1
    )
    iterations: int | None = Field(
        default=None, description="Number of iterations; null for the method's.", ge=1
    )
    changes: dict[str, Any] = Field(
        default_factory=dict,
        description="Keys of the method that differ here, for instance {selection: {flip: 0.1}}.",
    )
    sft: str | None = Field(
        default=None,
        description="Fine-tuned variant to begin with; required if the method has `initial: sft`. "
        "It may be trained on another task, an easier one for example (a curriculum).",
    )
    teacher: Teacher | None = Field(
        default=None,
        description="Policy that samples; required if the method has `generator: teacher`.",
    )
    reference: bool = Field(
        default=False,
        description="Whether methods are compared with this variant, as with SFT: figures show it "
        "as a level, and lifts over it are estimated.",
    )


class Evaluation(Strict):
    """One split and one decoding, for some of the policies."""

    task: str = Field(description="Task to evaluate on.")
    split: Literal["train", "validation", "test"] = Field(description="Split to evaluate on.")
    decoding: str = Field(description="Name of one of the study's decodings.")
    iterations: Literal["all", "last"] = Field(
        default="all",
        description="Iterations of each variant to evaluate; the base model is always evaluated.",
    )
    variants: list[str] | None = Field(
        default=None,
        description="Variants to evaluate; null for all, an empty list for the base model only.",
    )
    models: list[str] | None = Field(
        default=None, description="Models to evaluate; null for all.", min_length=1
    )
