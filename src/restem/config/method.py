"""A method is a configuration of one loop: who samples, what is kept, where training starts."""

from typing import Any, Literal

from pydantic import Field, model_validator

from restem.config.base import Strict
from restem.config.selection import Selection
from restem.config.steps import EStep, MStep


class Growth(Strict):
    """A number of optimiser steps that grows with the iterations (STaR)."""

    first: int = Field(description="Optimiser steps of the first iteration.", ge=1)
    factor: float = Field(default=1.2, description="Growth per iteration; STaR: 1.2.", ge=1)

    def at(self, iteration: int) -> int:
        """Return the steps of an iteration, counted from 1."""
        return round(self.first * self.factor ** (iteration - 1))


class Deviation(Strict):
    """One way in which a method is not as in its source."""

    what: str = Field(description="What differs, for instance learning rate.")
    source: str = Field(description="How it is in the source, with the place if not the paper.")
    here: str = Field(description="How it is here.")


class Method(Strict):
    """One self-training method."""

    paper: str | None = Field(
        default=None, description="Paper that the method comes from; null for own methods."
    )
    deviations: list[Deviation] = Field(
        default_factory=list, description="What is not as in that paper; changes no result."
    )
    e_step: EStep | None = Field(
        default=None, description="How completions are sampled; null for no sampling (plain SFT)."
    )
    selection: Selection = Field(
        default_factory=Selection, description="Which completions become training examples."
    )
    solved_by_base: str | None = Field(
        default=None,
        description="Train only on problems that the base model solved at least once with this "
        "decoding (the paper's 5K questions); null for all problems.",
    )
    initial: Literal["base", "sft"] = Field(
        default="base",
        description="What `last` means in the first iteration: the base model, or the last policy "
        "of the variant's `sft`.",
    )
    start: Literal["base", "last"] = Field(
        default="base", description="Weights from which fine-tuning starts in each iteration."
    )
    m_step: MStep = Field(
        default_factory=MStep,
        description="What is done with the examples: training, a prompt or averaged weights.",
    )
    steps: Growth | None = Field(
        default=None,
        description="Optimiser steps by iteration; null for the length that `training` sets.",
    )
    iterations: int = Field(default=1, description="Number of E-steps, each with its M-step.", ge=1)
    training: dict[str, Any] = Field(
        default_factory=dict, description="Keys of `training` that differ for this method."
    )

    @model_validator(mode="after")
    def _has_examples(self) -> "Method":
        if self.m_step.kind == "interpolate":
            return self._needs_no_examples()
        if self.selection.weight == "control_variate" and self.selection.accumulate != "all":
            raise ValueError("selection.weight: control_variate needs selection.accumulate: all")
        if self.e_step is None and self.selection.model_data:
            raise ValueError("without e_step nothing is sampled: set selection.model_data to false")
        if not self.selection.model_data and self.selection.human is None:
            raise ValueError("no source of examples: set selection.human or selection.model_data")
        if not self.selection.model_data and self.e_step is not None:
            raise ValueError(
                "e_step samples what selection.model_data: false discards: drop one of them"
            )
        return self

    def _needs_no_examples(self) -> "Method":
        if self.e_step or self.selection.model_data or self.selection.human or self.iterations > 1:
            raise ValueError("m_step: interpolate takes no e_step, no examples and one iteration")
        if self.initial != "sft":
            raise ValueError("m_step: interpolate goes towards the variant's sft: set initial: sft")
        return self

    @property
    def needs_sft(self) -> bool:
        """Tell whether variants of this method must name an `sft`."""
        return self.initial == "sft"

    @property
    def needs_teacher(self) -> bool:
        """Tell whether variants of this method must name a `teacher`."""
        return self.e_step is not None and self.e_step.generator == "teacher"

    @property
    def decodings(self) -> dict[str, str]:
        """Return the decodings that the method uses, by key."""
        named = {"solved_by_base": self.solved_by_base}
        if self.e_step:
            named |= {"e_step.decoding": self.e_step.decoding, "e_step.hint": self.e_step.hint}
        return {key: name for key, name in named.items() if name is not None}

    def selection_at(self, iteration: int) -> Selection:
        """Return the selection of an iteration; schedules start over when e_step samples again."""
        every = self.e_step.every if self.e_step else 1
        return self.selection.at((iteration - 1) % every if every > 1 else iteration - 1)
