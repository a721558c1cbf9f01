"""What each optimiser step does: its examples, its learning rate, and whether it is validated."""

import math
import random
from collections.abc import Sequence
from typing import Literal

from restem.config.base import share_of
from restem.config.training import Training
from restem.training.examples import Encoded

Shuffle = Literal["examples", "questions"]


class BatchOrder:
    """Find the examples of any step; an epoch's order follows from the seed and earlier epochs."""

    def __init__(self, examples: Sequence[Encoded], settings: Training, seed: int) -> None:
        self._examples, self._settings = examples, settings
        self._rng = random.Random(seed)
        self._epoch = -1
        self._batches: list[list[Encoded]] = []
        self.steps_per_epoch = math.ceil(len(examples) / settings.batch_size)

    def batch(self, step: int) -> list[Encoded]:
        """Return the examples of a step, counted from 0; steps must not decrease."""
        epoch, place = divmod(step, self.steps_per_epoch)
        while self._epoch < epoch:
            size, shuffle = self._settings.batch_size, self._settings.shuffle
            self._batches = epoch_batches(self._examples, size, self._rng, shuffle)
            self._epoch += 1
        return self._batches[place]


def epoch_batches(
    examples: Sequence[Encoded], batch_size: int, rng: random.Random, shuffle: Shuffle = "examples"
) -> list[list[Encoded]]:
    """Shuffle examples into batches, every example once; the last batch may be smaller.

    Lengths do not matter: batches of similar lengths would let a step's gradient, which clipping
    and AdamW bring to one scale, stand for more or fewer tokens. shuffle: "questions" keeps the
    examples of one prompt in one batch, as far as it has room.
    """
    groups = [[example] for example in examples]
    if shuffle == "questions":
        by_prompt: dict[tuple[int, ...], list[Encoded]] = {}
        for example in examples:
            by_prompt.setdefault(tuple(example.prompt), []).append(example)
        groups = list(by_prompt.values())
    rng.shuffle(groups)
    order = [example for group in groups for example in group]
    return [order[k : k + batch_size] for k in range(0, len(order), batch_size)]


def rate_factor(settings: Training, step: int, steps: int) -> float:
    """Return the learning rate at a step, counted from 0, as a factor of its peak."""
    warmup = math.ceil(share_of(settings.warmup_share, steps))
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    if settings.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * progress))
    return 1 - progress if settings.schedule == "linear" else 1.0


def validation_steps(steps: int, count: int) -> set[int]:
    """Return after how many steps to validate: before the first and `count` times; 0: never.

    The times are evenly spread, and the last step is one of them; fewer steps than times are all
    followed by a validation.
    """
    return {round(k * steps / count) for k in range(count + 1)} if count else set()
