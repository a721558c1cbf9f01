"""Decode one batch of rows step by step, and drop the rows that have finished."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Final

import torch

from restem.config.decoding import Decoding
from restem.sampling.choice import choose, log_probabilities
from restem.sampling.kv import RowCache
from restem.sampling.stops import Stops
from restem.sampling.streams import uniforms

# Move the running rows together when at most this share of the rows still runs.
_COMPACT_SHARE: Final = 0.75

Forward = Callable[["Rows", torch.Tensor], torch.Tensor]


@dataclass
class Rows:
    """Hold the rows being decoded; the first dimension of every tensor is the row.

    numbers: places in the caller's batch. limits: most tokens to draw. starts: position of the
    first drawn token. visible: which of the cache's first columns are prompt, not padding.
    ends: tokens drawn by a finished row, 0 while it runs.
    """

    numbers: torch.Tensor
    seeds: torch.Tensor
    limits: torch.Tensor
    starts: torch.Tensor
    visible: torch.Tensor
    tokens: torch.Tensor
    logprobs: torch.Tensor
    ends: torch.Tensor
    cache: RowCache

    @property
    def drawn(self) -> int:
        """Count the tokens drawn so far by a running row."""
        return self.tokens.shape[1]

    def keep(self, index: torch.Tensor) -> None:
        """Keep only the rows of an ascending index."""
        for each in fields(self):
            if each.name != "cache":
                setattr(self, each.name, getattr(self, each.name)[index])
        self.cache.keep(index)


@dataclass(frozen=True)
class Finished:
    """Hold a finished row: its place in the batch, its tokens and their log-probability."""

    number: int
    tokens: list[int]
    logprob: float


def decode(
    rows: Rows, logits: torch.Tensor, decoding: Decoding, stops: Stops, forward: Forward
) -> Iterator[list[Finished]]:
    """Yield rows as they finish, starting from the logits after their prompts.

    forward: takes the rows and their last tokens, returns the next logits [rows, vocabulary].
    """
    while True:
        running = _drawn(rows, logits, decoding, stops)
        left = int(running.sum())
        if left <= _COMPACT_SHARE * len(running):
            yield _finished(rows)
            if not left:
                return
            with torch.inference_mode():
                rows.keep(running.nonzero().squeeze(-1))
        logits = forward(rows, rows.tokens[:, -1:])


@torch.inference_mode()
def _drawn(rows: Rows, logits: torch.Tensor, decoding: Decoding, stops: Stops) -> torch.Tensor:
    """Draw one token per row; return which rows go on."""
    running = rows.ends == 0
    new = choose(logits, decoding, uniforms(rows.seeds, rows.drawn))
    rows.tokens = torch.cat([rows.tokens, new.unsqueeze(-1)], -1)
    rows.logprobs += log_probabilities(logits, new) * running
    ended = stops.ended(rows.tokens, running) | (running & (rows.limits == rows.drawn))
    rows.ends.masked_fill_(ended, rows.drawn)
    return running & ~ended


def _finished(rows: Rows) -> list[Finished]:
    done = rows.ends.nonzero().squeeze(-1)
    columns: Sequence[list[int]] = rows.tokens[done].tolist()
    numbers, logprobs, ends = rows.numbers[done], rows.logprobs[done], rows.ends[done]
    return [
        Finished(number, tokens[:end], logprob)
        for number, tokens, logprob, end in zip(
            numbers.tolist(), columns, logprobs.tolist(), ends.tolist(), strict=True
        )
    ]
