"""Decode rows step by step in a fixed number of slots; a slot whose row has ended gets a new one.

All rows move on by one column a step. A row that comes later has its prompt in the columns just
before the one where it starts, so every row's own tokens end in the same, last column.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Final, Protocol

import torch

from restem.config.decoding import Decoding
from restem.sampling.stops import Stops
from restem.sampling.transformers.cache import RowCache
from restem.sampling.transformers.choice import choose, log_probabilities, uniforms

# Move the running rows together when at most this share of the rows still runs.
_COMPACT_SHARE: Final = 0.75
_EMPTY: Final = -1


@dataclass(frozen=True)
class Fresh:
    """Hold rows whose prompts have been run; the first dimension of every tensor is the row.

    numbers: places in the caller's list. limits: most tokens to draw. starts: position of the
    first drawn token. own: columns of the cache that are its prompt. parts: caches of prompts, all
    of one width, each with the prompt of every row that it serves; logits: after the prompts.
    """

    numbers: torch.Tensor
    seeds: torch.Tensor
    limits: torch.Tensor
    starts: torch.Tensor
    own: torch.Tensor
    parts: list[tuple[RowCache, torch.Tensor]]
    logits: torch.Tensor


@dataclass
class Rows:
    """Hold the slots; the first dimension of every tensor is the slot.

    begins: column of `tokens` where the row's own begin. firsts: first column of the cache that
    the row sees. ends: tokens drawn by a finished row, 0 while it runs, -1 in an empty slot.
    """

    numbers: torch.Tensor
    seeds: torch.Tensor
    limits: torch.Tensor
    starts: torch.Tensor
    begins: torch.Tensor
    firsts: torch.Tensor
    tokens: torch.Tensor
    logprobs: torch.Tensor
    ends: torch.Tensor
    cache: RowCache
    width: int

    @classmethod
    def empty(cls, count: int, width: int, cache: RowCache, device: torch.device) -> "Rows":
        """Return so many empty slots over an empty cache, for prompts of at most such a width."""

        def zeros() -> torch.Tensor:
            return torch.zeros(count, dtype=torch.long, device=device)

        return cls(
            numbers=zeros(),
            seeds=zeros(),
            limits=zeros(),
            starts=zeros(),
            begins=zeros(),
            firsts=zeros(),
            tokens=zeros().unsqueeze(-1),
            logprobs=zeros().double(),
            ends=torch.full_like(zeros(), _EMPTY),
            cache=cache,
            width=width,
        )

    @property
    def drawn(self) -> torch.Tensor:
        """Count the tokens drawn so far by each row [rows]."""
        return self.tokens.shape[1] - self.begins

    @property
    def free(self) -> torch.Tensor:
        """List the slots without a running row."""
        return self.ends.nonzero().squeeze(-1)

    def keep(self, index: torch.Tensor) -> None:
        """Keep only the slots of an ascending index."""
        for each in fields(self):
            if each.name not in ("cache", "width"):
                setattr(self, each.name, getattr(self, each.name)[index])
        self.cache.keep(index)

    def put(self, fresh: Fresh, slots: torch.Tensor) -> None:
        """Put rows into free slots; their next token comes into the present last column."""
        if not self.cache.layers[0].is_initialized:
            self.cache.reserve(len(self.ends), self.width, fresh.parts[0][0].layers)
        for name in ("numbers", "seeds", "limits", "starts"):
            getattr(self, name)[slots] = getattr(fresh, name)
        self.begins[slots] = self.tokens.shape[1] - 1
        self.firsts[slots] = self.cache.get_seq_length() - fresh.own
        self.logprobs[slots], self.ends[slots] = 0.0, 0
        self.cache.put(fresh.parts, slots)

    def trim(self) -> None:
        """Forget the columns that no running row looks at, so that a long run stays narrow."""
        running = self.ends == 0
        spare = self.cache.get_seq_length() - self.width
        unseen = int(self.firsts[running].min()) if bool(running.any()) else spare
        self.firsts = (self.firsts - self.cache.drop(min(unseen, spare))).clamp(min=0)
        old = int(self.begins[running].min()) if bool(running.any()) else self.tokens.shape[1] - 1
        self.tokens, self.begins = self.tokens[:, old:], (self.begins - old).clamp(min=0)


@dataclass(frozen=True)
class Finished:
    """Hold a finished row: its place in the batch, its tokens and their log-probability."""

    number: int
    tokens: list[int]
    logprob: float


Forward = Callable[[Rows, torch.Tensor], torch.Tensor]


class Source(Protocol):
    """Hand out rows that wait for a slot."""

    @property
    def waiting(self) -> bool:
        """Tell whether any row is left."""

    def take(self, free: int) -> Fresh | None:
        """Return rows for at most so many free slots; none if it is better to wait for more."""


def decode(
    rows: Rows, source: Source, decoding: Decoding, stops: Stops, forward: Forward
) -> Iterator[list[Finished]]:
    """Yield rows as they finish, until the source has no more.

    forward: takes the rows and their last tokens, returns the next logits [rows, vocabulary].
    """
    while True:
        while source.waiting and (fresh := source.take(len(rows.free))):
            yield _finished(rows)
            _start(rows, fresh, decoding, stops)
        running = int((rows.ends == 0).sum())
        if not source.waiting and running <= _COMPACT_SHARE * len(rows.ends):
            yield _finished(rows)
            if not running:
                return
            with torch.inference_mode():
                rows.keep((rows.ends == 0).nonzero().squeeze(-1))
        logits = forward(rows, rows.tokens[:, -1:])
        with torch.inference_mode():
            rows.tokens = torch.nn.functional.pad(rows.tokens, (0, 1))
            _draw(rows, logits, torch.arange(len(rows.ends), device=logits.device), decoding, stops)


@torch.inference_mode()
def _start(rows: Rows, fresh: Fresh, decoding: Decoding, stops: Stops) -> None:
    """Put new rows into free slots and draw their first tokens."""
    rows.trim()
    slots = rows.free[: len(fresh.numbers)]
    rows.put(fresh, slots)
    _draw(rows, fresh.logits, slots, decoding, stops)


def _draw(
    rows: Rows, logits: torch.Tensor, slots: torch.Tensor, decoding: Decoding, stops: Stops
) -> None:
    """Draw a token for some slots into the last column, and note which rows end with it."""
    running, drawn = rows.ends[slots] == 0, rows.drawn[slots]
    new = choose(logits, decoding, uniforms(rows.seeds[slots], drawn - 1))
    rows.tokens[slots, -1] = new
    rows.logprobs[slots] += log_probabilities(logits, new) * running
    ended = stops.ended(rows.tokens[slots], running, rows.begins[slots])
    ended |= running & (rows.limits[slots] == drawn)
    rows.ends[slots[ended]] = drawn[ended]


@torch.inference_mode()
def _finished(rows: Rows) -> list[Finished]:
    """Take the finished rows out of their slots."""
    done = (rows.ends > 0).nonzero().squeeze(-1)
    columns: Sequence[list[int]] = rows.tokens[done].tolist()
    numbers, logprobs, ends = rows.numbers[done], rows.logprobs[done], rows.ends[done]
    begins = rows.begins[done].tolist()
    rows.ends[done] = _EMPTY
    return [
        Finished(number, tokens[begin : begin + end], logprob)
        for number, tokens, logprob, begin, end in zip(
            numbers.tolist(), columns, logprobs.tolist(), begins, ends.tolist(), strict=True
        )
    ]
