"""Order examples into batches and lay a batch out around the prefix that its rows share."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch

from restem.sampling.tokens import shared_length
from restem.training.examples import Encoded

# Batches that are sorted by length together: more wastes less padding, fewer mixes better.
_POOL_BATCHES: Final = 8


@dataclass(frozen=True)
class Batch:
    """Hold a batch's tensors.

    prefix: the tokens that all rows start with [shared], possibly none. ids: each row's own tokens
    [rows, columns], padded on the right, where causal attention never looks. is_prompt, is_target:
    which of them are what; targets carry the loss. weights: one per row, float64 [rows].
    """

    prefix: torch.Tensor
    ids: torch.Tensor
    is_prompt: torch.Tensor
    is_target: torch.Tensor
    weights: torch.Tensor

    def to(self, device: torch.device) -> "Batch":
        """Copy to a device."""
        return Batch(
            self.prefix.to(device),
            self.ids.to(device),
            self.is_prompt.to(device),
            self.is_target.to(device),
            self.weights.to(device),
        )


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


def collate(examples: Sequence[Encoded]) -> Batch:
    """Lay out one batch; the shared prefix leaves each row at least its prompt's last token."""
    shared = shared_length([example.prompt for example in examples])
    prefix = torch.tensor(examples[0].prompt[:shared], dtype=torch.long)
    rows = [torch.tensor((example.prompt + example.target)[shared:]) for example in examples]
    starts = torch.tensor([[len(example.prompt) - shared] for example in examples])
    ends = torch.tensor([[len(example) - shared] for example in examples])
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
    columns = torch.arange(ids.shape[1])
    is_target = (columns >= starts) & (columns < ends)
    weights = torch.tensor([example.weight for example in examples], dtype=torch.float64)
    return Batch(prefix, ids, columns < starts, is_target, weights)
