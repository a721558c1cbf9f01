"""Draws that wait for a slot, in an order in which the shared prompt of several is run once."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from restem.sampling.engine import Completion, Request
from restem.sampling.transformers.decode import Finished

# How much longer than a group's shortest prompt its longest may be: a factor, and tokens.
_STRETCH: Final = 1.5
_SLACK: Final = 16
# Wait for at least this share of the slots to be free: prompts are run more cheaply together.
_SHARE: Final = 8


@dataclass(frozen=True)
class Item:
    """Hold some draws of one request, and its prompt's tokens."""

    request: Request
    tokens: list[int]
    draws: range

    def completion(self, place: int, done: Finished, text: str, reason: str | None) -> Completion:
        """Describe a finished row."""
        request = self.request
        return Completion(
            request.problem_id,
            request.draws[place],
            request.seeds[place],
            text,
            len(done.tokens),
            len(self.tokens),
            "length" if reason is None else "stop",
            reason,
            done.logprob,
        )


class Waiting:
    """Hand out draws to free slots; a request's draws go together where they fit."""

    def __init__(self, items: Sequence[Item], slots: int) -> None:
        self._items, self._slots = deque(items), slots

    def __bool__(self) -> bool:
        return bool(self._items)

    def take(self, free: int) -> list[Item]:
        """Return draws for at most so many slots; none while it is better to wait for more."""
        if not self._items or free < self._needed():
            return []
        taken = [self._next(free)]
        free -= len(taken[0].draws)
        while self._items and len(self._items[0].draws) <= free:
            taken.append(self._items.popleft())
            free -= len(taken[-1].draws)
        return taken

    def _needed(self) -> int:
        draws = len(self._items[0].draws)
        return max(1, self._slots // _SHARE, min(draws, self._slots // 2))

    def _next(self, free: int) -> Item:
        """Take the first item, or the part of it that fits."""
        item = self._items.popleft()
        if len(item.draws) <= free:
            return item
        self._items.appendleft(Item(item.request, item.tokens, item.draws[free:]))
        return Item(item.request, item.tokens, item.draws[:free])


def alike(members: Sequence[tuple[Request, list[int]]], skip: int) -> Iterator[list[Item]]:
    """Group prompts of about one length; members come shortest first and share `skip` tokens.

    Padding to the longest of a group would be waste where the others are much shorter.
    """
    group: list[Item] = []
    for request, tokens in members:
        if group and len(tokens) - skip > _STRETCH * (len(group[0].tokens) - skip) + _SLACK:
            yield group
            group = []
        group.append(Item(request, tokens, range(len(request.draws))))
    if group:
        yield group
