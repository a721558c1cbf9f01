"""Order examples into the batches of an epoch, one batch an optimiser step."""

import random
from collections.abc import Sequence
from typing import Final, Literal

from restem.training.examples import Encoded

# Batches that are sorted by length together: more makes batches of more equal lengths.
_POOL_BATCHES: Final = 8


def epoch_order(
    examples: Sequence[Encoded],
    batch_size: int,
    rng: random.Random,
    shuffle: Literal["examples", "questions"] = "examples",
) -> list[list[Encoded]]:
    """Shuffle examples into batches of similar lengths; every example comes once.

    shuffle: questions keeps the examples of one prompt in one batch, or in more where it is full.
    """
    units = [[e] for e in examples] if shuffle == "examples" else _by_prompt(examples)
    rng.shuffle(units)
    order = [
        (max(map(len, unit)), place, example)
        for place, unit in enumerate(units)
        for example in unit
    ]
    pool = batch_size * _POOL_BATCHES
    batches = []
    for start in range(0, len(order), pool):
        similar = [e for *_, e in sorted(order[start : start + pool], key=lambda one: one[:2])]
        batches += [similar[k : k + batch_size] for k in range(0, len(similar), batch_size)]
    rng.shuffle(batches)
    return batches


def _by_prompt(examples: Sequence[Encoded]) -> list[list[Encoded]]:
    groups: dict[tuple[int, ...], list[Encoded]] = {}
    for example in examples:
        groups.setdefault(tuple(example.prompt), []).append(example)
    return list(groups.values())
