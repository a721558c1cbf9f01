"""The learning rate over the steps, and the steps that end with a validation."""

import math

from restem.config.training import Training


def rate_share(settings: Training, step: int, steps: int) -> float:
    """Return the share of the peak rate at a step, counted from 0, of all steps."""
    warmup = math.ceil(settings.warmup_share * steps)
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    if settings.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * done))
    return 1 - done if settings.schedule == "linear" else 1.0


def validation_steps(settings: Training, steps_per_epoch: int) -> set[int]:
    """Return after how many steps to validate; the end of every epoch is among them."""
    parts = settings.validations_per_epoch
    return {
        epoch * steps_per_epoch + max(1, round(part * steps_per_epoch / parts))
        for epoch in range(settings.epochs_max)
        for part in range(1, parts + 1)
    }
