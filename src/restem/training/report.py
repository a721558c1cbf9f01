"""What a fine-tuning run tells about itself."""

import resource
from dataclasses import dataclass, field
from typing import Any, Literal

import torch


@dataclass(frozen=True)
class Validation:
    """Hold the reward on the validation split after so many steps."""

    step: int
    reward: float


@dataclass
class Tokens:
    """Count the tokens that went through the model.

    prefix: shared prefixes, once a step where they are shared; prompt: the rest of the prompts;
    target: tokens with loss; padding: what filled up rows.
    """

    prefix: int = 0
    prompt: int = 0
    target: int = 0
    padding: int = 0


@dataclass
class TrainingReport:
    """Say what was done, what it cost and what was skipped.

    gradient_norms: before clipping. flops: see `cost`. kept_step: the step whose weights were
    saved, 0 for the starting weights. peak_memory_bytes: of the process on a CPU, of torch's
    allocations on a GPU.
    """

    examples: int
    skipped: dict[str, int]
    steps_planned: int
    losses: list[float] = field(default_factory=list)
    gradient_norms: list[float] = field(default_factory=list)
    validations: list[Validation] = field(default_factory=list)
    kept_step: int = 0
    ended: Literal["epochs", "no_improvement"] = "epochs"
    tokens: Tokens = field(default_factory=Tokens)
    passes: int = 0
    flops: int = 0
    wall_seconds: float = 0.0
    peak_memory_bytes: int = 0

    @classmethod
    def of(cls, stored: dict[str, Any]) -> "TrainingReport":
        """Return the report that was stored as a dictionary."""
        validations = [Validation(**one) for one in stored["validations"]]
        nested = {"validations": validations, "tokens": Tokens(**stored["tokens"])}
        return cls(**{**stored, **nested})

    @property
    def steps(self) -> int:
        """Count the optimiser steps taken."""
        return len(self.losses)


def peak_memory_bytes(device: torch.device) -> int:
    """Return the most memory used so far."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
