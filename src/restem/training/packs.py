"""Lay a step's examples out in forward passes: as trees, packed one after another, or padded.

tree: what examples share is computed once. Those with the same few-shot prompt hang below its
tokens, and those with the same question below the question. packed: one row without padding,
every example whole. padded: one example a row, with the model's own attention.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch

from restem.config.training import Training
from restem.sampling.tokens import shared_length
from restem.training.attention import Part
from restem.training.examples import Encoded


@dataclass(frozen=True)
class Pass:
    """Hold one forward pass.

    ids, positions: tokens [rows, columns]; one row, but in a padded pass. parts: who attends to
    whom; none in a padded pass. sources: flat places whose output predicts a target token, labels:
    that token, shares: its factor in the step's loss, all [targets]; a place may occur repeatedly.
    prefix, prompts, padding: tokens of each kind.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    parts: tuple[Part, ...]
    sources: torch.Tensor
    labels: torch.Tensor
    shares: torch.Tensor
    prefix: int
    prompts: int
    padding: int


@dataclass(frozen=True)
class Pack:
    """Hold passes that share a prefix, which runs before them [tokens]; possibly none."""

    prefix: torch.Tensor
    passes: list[Pass]


@dataclass(frozen=True)
class _Row:
    """Pair an example with its factor in the loss, per target token."""

    example: Encoded
    share: float


def packs(
    examples: Sequence[Encoded], settings: Training, mass: float, far: bool = True
) -> list[Pack]:
    """Lay out examples that together, or with those of other processes, make one step.

    mass: see `loss_mass`. far: let a prefix run by itself where the examples that share it need
    several passes; else each of these repeats it. No pass is longer than settings.pass_tokens,
    unless one example is.
    """
    rows = [_Row(example, _share(example, settings.normalise) / mass) for example in examples]
    limit = settings.pass_tokens
    if settings.layout == "tree":
        families: dict[str, list[_Row]] = {}
        for row in rows:
            families.setdefault(row.example.family, []).append(row)
        return [_tree(family, limit, far) for family in families.values()]
    if not rows:
        return []
    make = _packed if settings.layout == "packed" else _padded
    nothing = torch.zeros(0, dtype=torch.long)
    return [Pack(nothing, [make(chunk) for chunk in _chunks(rows, limit, settings.layout)])]


def loss_mass(examples: Sequence[Encoded], normalise: Literal["token", "example"]) -> float:
    """Return what the weighted sum of a step's losses is divided by (see `loss`)."""
    return sum(abs(_share(e, normalise)) * len(e.target) for e in examples)


def _share(example: Encoded, normalise: Literal["token", "example"]) -> float:
    return example.weight / (1 if normalise == "token" else len(example.target))


@dataclass
class _Layout:
    """Collect the tokens of one row and who attends to whom."""

    ids: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    nodes: list[Part] = field(default_factory=list)
    crossings: list[Part] = field(default_factory=list)
    sources: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    prompts: int = 0

    def node(self, tokens: Sequence[int], position: int) -> tuple[int, int]:
        """Append tokens that follow each other; return where they lie."""
        span = (len(self.ids), len(self.ids) + len(tokens))
        self.ids += tokens
        self.positions += range(position, position + len(tokens))
        if tokens:
            self.nodes.append(Part(span, span, causal=True))
        return span

    def cross(self, start: int, keys: tuple[int, int], far: bool = False) -> None:
        """Let all tokens from `start` on attend to earlier ones."""
        if start < len(self.ids) and keys[0] < keys[1]:
            self.crossings.append(Part((start, len(self.ids)), keys, far=far))

    def targets(self, row: _Row, first: int, rest: int) -> None:
        """Predict a row's target: its first token from one place, the others from `rest` on."""
        target = row.example.target
        self.sources += [first, *range(rest, rest + len(target) - 1)]
        self.labels += target
        self.shares += [row.share] * len(target)

    def group(self, rows: Sequence[_Row], shared: int) -> None:
        """Hang rows below the one prompt that they have; its first tokens may be elsewhere."""
        prompt = rows[0].example.prompt[shared:]
        self.prompts += len(prompt)
        if len(rows) == 1:
            start, end = self.node(prompt + rows[0].example.target[:-1], shared)
            return self.targets(rows[0], start + len(prompt) - 1, start + len(prompt))
        start, end = self.node(prompt, shared)
        for row in rows:
            first, _ = self.node(row.example.target[:-1], shared + len(prompt))
            self.targets(row, end - 1, first)
        return self.cross(end, (start, end))

    def made(self, prefix: int = 0) -> Pass:
        """Return the pass, so many of its tokens a prefix; nodes come before crossings."""
        return Pass(
            torch.tensor([self.ids]),
            torch.tensor([self.positions]),
            (*self.nodes, *self.crossings),
            torch.tensor(self.sources),
            torch.tensor(self.labels),
            torch.tensor(self.shares, dtype=torch.float64),
            prefix,
            self.prompts,
            0,
        )


def idle(count: int, padded: bool) -> Pack:
    """Return passes that change nothing, of one token that is padding and predicts nothing."""
    nothing, one = torch.zeros(0, dtype=torch.long), torch.zeros((1, 1), dtype=torch.long)
    parts = () if padded else (Part((0, 1), (0, 1), causal=True),)
    weights = torch.zeros(0, dtype=torch.float64)
    empty = Pass(one, one, parts, nothing, nothing, weights, prefix=0, prompts=0, padding=1)
    return Pack(nothing, [empty] * count)


def _tree(rows: Sequence[_Row], limit: int, far: bool) -> Pack:
    """Share one prefix and every prompt; the prefix runs by itself where one pass is too short."""
    shared = shared_length([row.example.prompt for row in rows])
    prefix = rows[0].example.prompt[:shared]
    groups: dict[tuple[int, ...], list[_Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row.example.prompt), []).append(row)
    nothing = torch.zeros(0, dtype=torch.long)
    if not far:
        parts = _filled(list(groups.values()), shared, max(1, limit - shared))
        return Pack(nothing, [_tree_pass(part, prefix, True) for part in parts])
    filled = list(_filled(list(groups.values()), shared, limit))
    if len(filled) == 1 and _length(filled[0], shared) + shared <= limit:
        return Pack(nothing, [_tree_pass(filled[0], prefix, True)])
    return Pack(torch.tensor(prefix), [_tree_pass(part, prefix, False) for part in filled])


def _tree_pass(groups: list[list[_Row]], prefix: list[int], inside: bool) -> Pass:
    layout = _Layout()
    _, start = layout.node(prefix if inside else [], 0)
    for rows in groups:
        layout.group(rows, len(prefix))
    layout.cross(start, (0, len(prefix)), far=not inside)
    return layout.made(start)


def _filled(groups: list[list[_Row]], shared: int, limit: int) -> Iterator[list[list[_Row]]]:
    """Fill passes with groups of rows that have one prompt; split a group that is too long."""
    open_pass: list[list[_Row]] = []
    room = limit
    for group in groups:
        prompt = len(group[0].example.prompt) - shared
        taken: list[_Row] = []
        for row in group:
            need = len(row.example.target) - 1 + (0 if taken else prompt)
            if need > room and (open_pass or taken):
                yield [*open_pass, taken] if taken else open_pass
                open_pass, taken, room = [], [], limit
                need = len(row.example.target) - 1 + prompt
            taken.append(row)
            room -= need
        open_pass.append(taken)
    yield open_pass


def _length(groups: list[list[_Row]], shared: int) -> int:
    prompts = sum(len(group[0].example.prompt) - shared for group in groups)
    return prompts + sum(len(row.example.target) - 1 for group in groups for row in group)


def _chunks(rows: list[_Row], limit: int, layout: str) -> Iterator[list[_Row]]:
    """Cut rows into passes of bounded tokens, or of bounded rows times columns."""
    chunk: list[_Row] = []
    total = widest = 0
    for row in rows:
        width = len(row.example) - 1
        total, widest = total + width, max(widest, width)
        size = total if layout == "packed" else widest * (len(chunk) + 1)
        if chunk and size > limit:
            yield chunk
            chunk, total, widest = [], width, width
        chunk.append(row)
    yield chunk


def _packed(rows: list[_Row]) -> Pass:
    layout = _Layout()
    for row in rows:
        layout.group([row], 0)
    return layout.made()


def _padded(rows: list[_Row]) -> Pass:
    """Pad on the right, where causal attention never looks: no mask is needed."""
    inputs = [torch.tensor((row.example.prompt + row.example.target)[:-1]) for row in rows]
    ids = torch.nn.utils.rnn.pad_sequence(inputs, batch_first=True)
    width = ids.shape[1]
    sources: list[int] = []
    for number, row in enumerate(rows):
        first = number * width + len(row.example.prompt) - 1
        sources += range(first, first + len(row.example.target))
    counts = torch.tensor([len(row.example.target) for row in rows])
    shares = torch.tensor([row.share for row in rows], dtype=torch.float64)
    return Pass(
        ids,
        torch.arange(width).expand(len(rows), -1),
        (),
        torch.tensor(sources),
        torch.tensor([token for row in rows for token in row.example.target]),
        shares.repeat_interleave(counts),
        0,
        sum(len(row.example.prompt) for row in rows),
        ids.numel() - sum(map(len, inputs)),
    )
