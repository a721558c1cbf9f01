"""Decide which draws get the next free slots, so that a prompt runs once for many draws."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from restem.sampling.engine import Request

# The longest prompt of a group may exceed the shortest by this factor and this many tokens.
_LENGTH_FACTOR: Final = 1.5
_LENGTH_SLACK: Final = 16
# Wait until at least this share of the slots is free: prompts run more cheaply together.
_SHARE: Final = 8


@dataclass(frozen=True)
class PendingDraws:
    """Some draws of one request: places in `request.draws`; tokens: of the prompt."""

    request: Request
    tokens: list[int]
    draws: range


class DrawQueue:
    """Assign draws to free slots; those of a request go together where they fit."""

    def __init__(self, pending: Sequence[PendingDraws], slots: int) -> None:
        self._pending, self._slots = deque(pending), slots

    def __bool__(self) -> bool:
        return bool(self._pending)

    def take(self, free: int) -> list[PendingDraws]:
        """Return draws for at most `free` slots; none while it is better to wait for more."""
        if not self._pending or free < self._required_slots():
            return []
        taken = [self._take_first(free)]
        free -= len(taken[0].draws)
        while self._pending and len(self._pending[0].draws) <= free:
            taken.append(self._pending.popleft())
            free -= len(taken[-1].draws)
        return taken

    def _required_slots(self) -> int:
        draws = len(self._pending[0].draws)
        return max(1, self._slots // _SHARE, min(draws, self._slots // 2))

    def _take_first(self, free: int) -> PendingDraws:
        """Take the first draws, or the part of them that fits."""
        first = self._pending.popleft()
        if len(first.draws) > free:
            self._pending.appendleft(replace(first, draws=first.draws[free:]))
        return replace(first, draws=first.draws[:free])


def group_by_length(
    prompts: Sequence[tuple[Request, list[int]]], skip: int
) -> Iterator[list[PendingDraws]]:
    """Group prompts of similar lengths, so that little is padded.

    prompts: requests with their tokens, shortest first, which share the first `skip` tokens.
    """
    group: list[PendingDraws] = []
    for request, tokens in prompts:
        if group:
            limit = _LENGTH_FACTOR * (len(group[0].tokens) - skip) + _LENGTH_SLACK
            if len(tokens) - skip > limit:
                yield group
                group = []
        group.append(PendingDraws(request, tokens, range(len(request.draws))))
    if group:
        yield group
