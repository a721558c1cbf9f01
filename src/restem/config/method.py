"""A method is a configuration of one loop: who samples, what is kept, where training starts."""

from typing import Any, Literal

from pydantic import Field, model_validator

from restem.config.base import Strict
from restem.config.selection import Selection


class Search(Strict):
    """A beam search guided by the verifier (the expert of ExIt, Anthony et al. 2017)."""

    beams: int = Field(default=2, description="Number of partial solutions kept.", ge=1)
    expansions: int = Field(
        default=4, description="Continuations sampled from each partial solution.", ge=1
    )
    rollouts: int = Field(
        default=2, description="Completions sampled from each continuation to estimate it.", ge=1
    )
    step_tokens: int = Field(default=16, description="Tokens per continuation.", ge=1)


class EStep(Strict):
    """Which policy samples completions of training problems, and how."""

    generator: Literal["base", "last", "teacher"] = Field(
        default="last",
        description="Policy that samples: the base model, that of the last iteration, or the "
        "variant's `teacher`.",
    )
    decoding: str = Field(description="Name of one of the study's decodings.")
    every: int = Field(
        default=1,
        description="Sample again every this many iterations; the iterations between select from "
        "the same draws (ReST: Improve steps per Grow step).",
        ge=1,
    )
    batch: int | None = Field(
        default=None,
        description="Number of problems per iteration: each iteration samples on the next ones, "
        "and starts over after the last; null for all problems (RAFT, IML).",
        ge=1,
    )
    hint: str | None = Field(
        default=None,
        description="Decoding of a second try, with the answer in the question, at problems "
        "without a correct draw. Examples do not show the hint (STaR's rationalisation).",
    )
    search: Search | None = Field(
        default=None, description="Search for solutions instead of sampling them independently."
    )

    @model_validator(mode="after")
    def _search_is_alone(self) -> "EStep":
        if self.search is not None and (self.batch is not None or self.hint is not None):
            raise ValueError("search goes with neither batch nor hint")
        return self

    def first_problem(self, iteration: int) -> int:
        """Return the place of the first problem of an iteration's batch."""
        return (self.batch or 0) * ((iteration - 1) // self.every)


class MStep(Strict):
    """How examples become the next policy."""

    kind: Literal["fine_tune", "shots", "prompt", "interpolate"] = Field(
        default="fine_tune",
        description="fine_tune: train the weights; shots: put examples into the prompt (in-context "
        "learning); prompt: the best of several such prompts on validation problems; interpolate: "
        "average the weights of the base model and of the variant's `sft` (WiSE-FT).",
    )
    shots: int = Field(default=8, description="Number of examples in a prompt.", ge=1)
    candidates: int = Field(
        default=8, description="Number of prompts that are tried, for kind: prompt.", ge=1
    )
    share: float = Field(
        default=0.5,
        description="Weight of the fine-tuned model in the average, for kind: interpolate.",
        ge=0,
        le=1,
    )


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
