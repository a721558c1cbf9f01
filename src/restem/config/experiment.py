"""An experiment of a paper: what it trains, what it measures and what it shows."""

from typing import Any, Literal

from pydantic import Field, model_validator

from restem.config.base import Strict
from restem.config.names import Name
from restem.config.variant import Evaluation, Variant


class Figure(Strict):
    """One figure: a module of restem.figures and the part of the results that it shows."""

    module: str = Field(description="Module in restem.figures that defines the function `plot`.")
    table: Literal["summary", "breakdown", "false_positives"] = Field(
        default="summary", description="Table of estimates that the figure shows."
    )
    tasks: list[str] | None = Field(
        default=None, description="Evaluated tasks to show; null for all."
    )
    variants: list[str] | None = Field(
        default=None,
        description="Variants to show besides the base model; null for the experiment's.",
    )
    models: list[str] | None = Field(default=None, description="Models to show; null for all.")
    decodings: list[str] | None = Field(
        default=None, description="Decodings to show; null for all."
    )
    trained_on: str | None = Field(
        default=None,
        description="Task that the policies were trained on; null for that of the experiment's "
        "first variant.",
    )
    x: str | None = Field(
        default=None,
        description="Key of the variants' methods that gives each its place on the x axis, for "
        "instance selection.flip; for figures such as by_share.",
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="Further arguments of the module's function `plot`."
    )
    published: list[str] = Field(
        default_factory=list,
        description="Entries of config/paper/published.yaml that are shown as dotted lines.",
    )

    @model_validator(mode="after")
    def _fits_its_table(self) -> "Figure":
        if self.table == "false_positives" and self.decodings is not None:
            raise ValueError("false positives are of examples: leave out decodings")
        return self


class Experiment(Strict):
    """One experiment; the experiments of a study share all artifacts that they have in common."""

    title: str = Field(description="Title of the experiment on pages.")
    caption: str = Field(default="", description="What readers must know to read the figures.")
    variants: dict[Name, Variant] = Field(
        default_factory=dict,
        description="Variants that it trains; one name means the same in all experiments.",
    )
    evaluations: list[Evaluation] = Field(
        default_factory=list, description="Evaluations that it needs."
    )
    figures: dict[Name, Figure] = Field(default_factory=dict, description="Figures that it shows.")
