"""Order examples into the batches of an epoch, one batch an optimiser step."""

import random
from collections.abc import Sequence
from typing import Final

from restem.training.examples import Encoded

# Batches that are sorted by length together: more makes batches of more equal lengths.
_POOL_BATCHES: Final = 8


def epoch_order(
    examples: Sequence[Encoded], batch_size: int, rng: random.Random
) -> list[list[Encoded]]:
    """Shuffle examples into batches of similar lengths; every example comes once."""
    order = list(examples)
    rng.shuffle(order)
    pool = batch_size * _POOL_BATCHES
    batches = []
    for start in range(0, len(order), pool):
        similar = sorted(order[start : start + pool], key=len)
        batches += [similar[k : k + batch_size] for k in range(0, len(similar), batch_size)]
    rng.shuffle(batches)
    return batches
