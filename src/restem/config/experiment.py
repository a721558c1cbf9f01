"""An experiment of a paper: what it trains, what it measures and what it draws."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from restem.config.base import Strict
from restem.config.variant import Evaluation, Variant

NAME = "^[A-Za-z0-9][A-Za-z0-9._-]*$"
Name = Annotated[str, StringConstraints(pattern=NAME)]


class Figure(Strict):
    """One figure: a module of restem.figures and the part of the results that it shows."""

    module: str = Field(description="Module in restem.figures.")
    table: Literal["summary", "breakdown", "false_positives"] = Field(
        default="summary", description="The estimates that it is drawn from."
    )
    tasks: list[str] | None = Field(default=None, description="Evaluated tasks; null for all.")
    variants: list[str] | None = Field(
        default=None, description="Variants besides the base model; null for the experiment's."
    )
    models: list[str] | None = Field(default=None, description="Models; null for all.")
    decodings: list[str] | None = Field(default=None, description="Decodings; null for all.")
    trained_on: str | None = Field(
        default=None, description="Task that the policies are trained on; null for the first."
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="More arguments of the module's draw."
    )
    published: list[str] = Field(
        default_factory=list,
        description="Entries of config/paper/published.yaml that are drawn as marks.",
    )

    @model_validator(mode="after")
    def _fits_its_table(self) -> "Figure":
        if self.table == "false_positives" and self.decodings is not None:
            raise ValueError("false positives are of examples, which have no decoding: leave out decodings")
        return self


class Experiment(Strict):
    """One experiment; several of a study share every artifact that they have in common."""

    title: str = Field(description="What it shows, for the heads of pages.")
    caption: str = Field(default="", description="What a reader has to know to read the figures.")
    variants: dict[Name, Variant] = Field(
        default_factory=dict, description="What it trains; equal names must mean equal things."
    )
    evaluations: list[Evaluation] = Field(default_factory=list, description="What it measures.")
    figures: dict[Name, Figure] = Field(default_factory=dict, description="What it draws.")
