"""Decode rows step by step in a fixed number of slots; a row that ends frees its slot for another.

All rows advance by one column per step. A row that starts later has its prompt in the columns just
before the one where it starts, so the last token of every row is in the same, last column.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import torch

from restem.config.decoding import Decoding
from restem.sampling.stops import Stops
from restem.sampling.transformers.cache import RowCache
from restem.sampling.transformers.next_token import log_probabilities, sample_tokens, uniforms
from restem.sampling.transformers.scheduling import DrawQueue, PendingDraws

# Drop the slots of finished rows when at most this share of the slots is still running.
_COMPACT_SHARE: Final = 0.75
_EMPTY: Final = -1


@dataclass(frozen=True)
class PrefilledRows:
    """Rows whose prompts have run; the first dimension of every tensor is the row.

    limits: maximum number of tokens to sample. starts: position of the first sampled token.
    prompt_columns: number of cache columns that hold the row's prompt. parts: caches of prompts,
    all of one width, each with the index of the prompt of every row. logits: after the prompts.
    """

    seeds: torch.Tensor
    limits: torch.Tensor
    starts: torch.Tensor
    prompt_columns: torch.Tensor
    parts: list[tuple[RowCache, torch.Tensor]]
    logits: torch.Tensor


class Slots:
    """The slots of a batch; the first dimension of every tensor is the slot.

    numbers: rows are numbered in the order in which they come. begins: column of `tokens` where the
    row's own tokens begin. first_columns: first cache column that the row sees. ends: number of
    tokens of a finished row, 0 while it runs, -1 in an empty slot. width: longest prompt.
    """

    def __init__(self, count: int, width: int, cache: RowCache, device: torch.device) -> None:
        self.numbers, self.seeds, self.limits, self.starts, self.begins, self.first_columns = (
            torch.zeros(count, dtype=torch.long, device=device) for _ in range(6)
        )
        self.tokens = torch.zeros((count, 1), dtype=torch.long, device=device)
        self.logprobs = torch.zeros(count, dtype=torch.float64, device=device)
        self.ends = torch.full_like(self.numbers, _EMPTY)
        self.cache, self.width = cache, width
        self._next_number = 0

    @property
    def sampled(self) -> torch.Tensor:
        """Count the tokens sampled so far for each row [rows]."""
        return self.tokens.shape[1] - self.begins

    @property
    def free(self) -> torch.Tensor:
        """List the slots without a running row."""
        return self.ends.nonzero().squeeze(-1)

    def keep(self, index: torch.Tensor) -> None:
        """Keep only the slots of an ascending index."""
        for name, value in vars(self).items():
            if isinstance(value, torch.Tensor):
                setattr(self, name, value[index])
        self.cache.keep(index)

    def put(self, rows: PrefilledRows, slots: torch.Tensor) -> None:
        """Put rows into free slots; their next token goes into the current last column."""
        if not self.cache.layers[0].is_initialized:
            self.cache.reserve(len(self.ends), self.width, rows.parts[0][0].layers)
        end = self._next_number + len(slots)
        self.numbers[slots] = torch.arange(self._next_number, end, device=slots.device)
        self._next_number = end
        for name in ("seeds", "limits", "starts"):
            getattr(self, name)[slots] = getattr(rows, name)
        self.begins[slots] = self.tokens.shape[1] - 1
        self.first_columns[slots] = self.cache.get_seq_length() - rows.prompt_columns
        self.logprobs[slots], self.ends[slots] = 0.0, 0
        self.cache.put(rows.parts, slots)

    def trim(self) -> None:
        """Drop the columns that no running row sees, so that a long run stays narrow."""
        running = self.ends == 0
        spare = self.cache.get_seq_length() - self.width
        unseen = int(self.first_columns[running].min()) if bool(running.any()) else spare
        dropped = self.cache.drop(min(unseen, spare))
        self.first_columns = (self.first_columns - dropped).clamp(min=0)
        old = int(self.begins[running].min()) if bool(running.any()) else self.tokens.shape[1] - 1
        self.tokens, self.begins = self.tokens[:, old:], (self.begins - old).clamp(min=0)


class NonFiniteLogits(Exception):  # noqa: N818 - a condition of the model
    """The model gives probabilities that are no numbers; numbers: of the rows."""

    def __init__(self, numbers: list[int]) -> None:
        super().__init__(numbers)
        self.numbers = numbers


@dataclass(frozen=True)
class FinishedRow:
    """A finished row: its number, its tokens and their log-probability."""

    number: int
    tokens: list[int]
    logprob: float


def decode(
    slots: Slots,
    queue: DrawQueue,
    decoding: Decoding,
    stops: Stops,
    prefill: Callable[[list[PendingDraws]], PrefilledRows],
    forward: Callable[[Slots, torch.Tensor], torch.Tensor],
) -> Iterator[list[FinishedRow]]:
    """Yield rows as they finish, until the queue is empty.

    prefill: runs the prompts of draws. forward: takes the slots and their last tokens, returns the
    next logits [slots, vocabulary]. Raises NonFiniteLogits.
    """
    while True:
        while queue and (pending := queue.take(len(slots.free))):
            rows = prefill(pending)
            yield _take_finished(slots)
            _start(slots, rows, decoding, stops)
        running = int((slots.ends == 0).sum())
        if not queue and running <= _COMPACT_SHARE * len(slots.ends):
            yield _take_finished(slots)
            if not running:
                return
            with torch.inference_mode():
                slots.keep((slots.ends == 0).nonzero().squeeze(-1))
        logits = forward(slots, slots.tokens[:, -1:])
        with torch.inference_mode():
            slots.tokens = torch.nn.functional.pad(slots.tokens, (0, 1))
            every = torch.arange(len(slots.ends), device=logits.device)
            _sample_next(slots, logits, every, decoding, stops)


@torch.inference_mode()
def _start(slots: Slots, rows: PrefilledRows, decoding: Decoding, stops: Stops) -> None:
    """Put new rows into free slots and sample their first tokens."""
    slots.trim()
    index = slots.free[: len(rows.seeds)]
    slots.put(rows, index)
    _sample_next(slots, rows.logits, index, decoding, stops)


def _sample_next(
    slots: Slots, logits: torch.Tensor, index: torch.Tensor, decoding: Decoding, stops: Stops
) -> None:
    """Sample a token for some slots into the last column, and note which rows end with it."""
    running, sampled = slots.ends[index] == 0, slots.sampled[index]
    new = sample_tokens(logits, decoding, uniforms(slots.seeds[index], sampled - 1))
    slots.tokens[index, -1] = new
    logprobs = log_probabilities(logits, new)
    broken = ~logprobs.isfinite() & running
    if bool(broken.any()):
        raise NonFiniteLogits(slots.numbers[index][broken].tolist())
    slots.logprobs[index] += logprobs.where(running, 0.0)
    ended = stops.ended(slots.tokens[index], running, slots.begins[index])
    ended |= running & (slots.limits[index] == sampled)
    slots.ends[index[ended]] = sampled[ended]


@torch.inference_mode()
def _take_finished(slots: Slots) -> list[FinishedRow]:
    """Take the finished rows out of their slots."""
    done = (slots.ends > 0).nonzero().squeeze(-1)
    columns = (slots.numbers, slots.tokens, slots.logprobs, slots.begins, slots.ends)
    rows = zip(*(column[done].tolist() for column in columns), strict=True)
    slots.ends[done] = _EMPTY
    return [
        FinishedRow(number, tokens[begin : begin + end], logprob)
        for number, tokens, logprob, begin, end in rows
    ]
