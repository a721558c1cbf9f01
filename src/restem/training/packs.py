"""Arrange a step's examples in forward passes: as trees, packed one after another, or padded.

tree: what examples share is computed once. Those with the same few-shot prompt branch off its
tokens, and those with the same question branch off the question. packed: one row without padding,
every example whole. padded: one example per row, with the model's own attention.
"""

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

import torch

from restem.config.training import Training
from restem.sampling.tokens import shared_length
from restem.training.examples import Encoded
from restem.training.tree import Part

# A prefix is shared if that spares this part of a step's tokens: each crossing costs a call too.
_WORTH_SHARING: Final = 0.02
_PADDED_TO: Final = 1.25  # the longest row of a padded pass, as a multiple of the shortest


@dataclass(frozen=True)
class Pass:
    """One forward pass.

    ids, positions: tokens [rows, columns]; one row, except in a padded pass. parts: who attends to
    whom; none in a padded pass. sources: flat places whose output predicts a target token, labels:
    that token, shares: its factor in the step's loss, all [targets]; a place may occur repeatedly.
    prefix, prompts, padding: number of tokens of each kind.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    parts: tuple[Part, ...]
    sources: torch.Tensor
    labels: torch.Tensor
    shares: torch.Tensor
    prefix: int = 0
    prompts: int = 0
    padding: int = 0


@dataclass(frozen=True)
class Pack:
    """Passes that share a prefix, which runs before them [tokens]; it may be empty."""

    prefix: torch.Tensor
    passes: list[Pass]


def packs(
    examples: Sequence[Encoded], settings: Training, mass: float, separate_prefix: bool = True
) -> list[Pack]:
    """Arrange examples that are one step, alone or together with those of other processes.

    mass: see `step_mass`. separate_prefix: let a prefix run by itself if the examples that share it
    need several passes; otherwise each pass repeats it. No pass is longer than
    settings.pass_tokens, unless one example is.
    """
    # From here on, an example's weight is its factor in the step's loss, per target token.
    examples = [replace(e, weight=_share(e, settings.normalise) / mass) for e in examples]
    limit = settings.pass_tokens
    if settings.layout == "tree":
        families = _grouped(examples, lambda example: example.family)
        return [_tree(family, limit, separate_prefix) for family in families]
    if not examples:
        return []
    arrange = _packed
    if settings.layout == "padded":
        arrange, examples = _padded, sorted(examples, key=len)  # less padding
    chunks = _chunks(examples, limit, settings.layout)
    return [Pack(_no_tokens(), [arrange(chunk) for chunk in chunks])]


def step_mass(
    examples: Collection[Encoded], batch_size: int, normalise: Literal["token", "example"]
) -> float:
    """Return the divisor of every step's loss: the mean mass of a batch of all examples.

    It is the same for all steps (see `loss`), so that a token weighs the same in each of them.
    """
    return loss_mass(examples, normalise) * min(1.0, batch_size / len(examples))


def loss_mass(examples: Iterable[Encoded], normalise: Literal["token", "example"]) -> float:
    """Return the sum of the weights that the losses of some examples' tokens have."""
    return sum(abs(_share(e, normalise)) * len(e.target) for e in examples)


def _share(example: Encoded, normalise: Literal["token", "example"]) -> float:
    return example.weight / (1 if normalise == "token" else len(example.target))


def _grouped(
    examples: Iterable[Encoded], key: Callable[[Encoded], Hashable]
) -> list[list[Encoded]]:
    """Group examples by a key, in the order of their first occurrences."""
    groups: dict[Hashable, list[Encoded]] = {}
    for example in examples:
        groups.setdefault(key(example), []).append(example)
    return list(groups.values())


def _no_tokens() -> torch.Tensor:
    return torch.zeros(0, dtype=torch.long)


def idle(count: int, padded: bool) -> Pack:
    """Return passes that change nothing: one token of padding, which predicts nothing."""
    token = torch.zeros((1, 1), dtype=torch.long)
    parts = () if padded else (Part((0, 1), (0, 1), causal=True),)
    shares = torch.zeros(0, dtype=torch.float64)
    empty = Pass(token, token, parts, _no_tokens(), _no_tokens(), shares, padding=1)
    return Pack(_no_tokens(), [empty] * count)


@dataclass
class _RowBuilder:
    """Collect the tokens of one row and who attends to whom."""

    ids: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    nodes: list[Part] = field(default_factory=list)
    crossings: list[Part] = field(default_factory=list)
    sources: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    prompts: int = 0

    def add_node(self, tokens: Sequence[int], position: int) -> tuple[int, int]:
        """Append tokens that follow each other; return their first place and the place after."""
        span = (len(self.ids), len(self.ids) + len(tokens))
        self.ids += tokens
        self.positions += range(position, position + len(tokens))
        if tokens:
            self.nodes.append(Part(span, span, causal=True))
        return span

    def attend(self, start: int, keys: tuple[int, int], far: bool = False) -> None:
        """Let all tokens from `start` on attend to earlier ones."""
        if start < len(self.ids) and keys[0] < keys[1]:
            self.crossings.append(Part((start, len(self.ids)), keys, far=far))

    def add_targets(self, example: Encoded, first: int, rest: int) -> None:
        """Predict a target: its first token from place `first`, the others from `rest` on."""
        count = len(example.target)
        self.sources += [first, *range(rest, rest + count - 1)]
        self.labels += example.target
        self.shares += [example.weight] * count

    def add_group(self, examples: Sequence[Encoded], shared: int) -> None:
        """Append examples of one prompt, of which the first `shared` tokens are elsewhere."""
        prompt = examples[0].prompt[shared:]
        self.prompts += len(prompt)
        if len(examples) == 1:
            start, _ = self.add_node(prompt + examples[0].target[:-1], shared)
            self.add_targets(examples[0], start + len(prompt) - 1, start + len(prompt))
            return
        start, end = self.add_node(prompt, shared)
        for example in examples:
            first, _ = self.add_node(example.target[:-1], shared + len(prompt))
            self.add_targets(example, end - 1, first)
        self.attend(end, (start, end))

    def build(self, prefix: int = 0) -> Pass:
        """Return the pass, of whose tokens the first `prefix` are a prefix; nodes come first."""
        return Pass(
            ids=torch.tensor([self.ids]),
            positions=torch.tensor([self.positions]),
            parts=(*self.nodes, *self.crossings),
            sources=torch.tensor(self.sources),
            labels=torch.tensor(self.labels),
            shares=torch.tensor(self.shares, dtype=torch.float64),
            prefix=prefix,
            prompts=self.prompts,
        )


def _tree(examples: Sequence[Encoded], limit: int, separate_prefix: bool) -> Pack:
    """Share a prefix and every prompt; the prefix runs by itself if one pass is too short.

    Prompts that begin alike by a few tokens only, such as "Problem:", have no prefix.
    """
    groups = _grouped(examples, lambda example: tuple(example.prompt))
    shared = shared_length([example.prompt for example in examples])
    if len(groups) > 1 and (len(groups) - 1) * shared < _WORTH_SHARING * _length(groups, 0):
        shared = 0
    prefix = examples[0].prompt[:shared]
    room = limit if separate_prefix else max(1, limit - shared)
    parts = list(_filled(groups, shared, room))
    fits = len(parts) == 1 and _length(parts[0], shared) + shared <= limit
    inside = fits or not separate_prefix
    passes = [_tree_pass(part, prefix, inside) for part in parts]
    return Pack(_no_tokens() if inside else torch.tensor(prefix), passes)


def _tree_pass(groups: list[list[Encoded]], prefix: list[int], inside: bool) -> Pass:
    builder = _RowBuilder()
    _, start = builder.add_node(prefix if inside else [], 0)
    for group in groups:
        builder.add_group(group, len(prefix))
    builder.attend(start, (0, len(prefix)), far=not inside)
    return builder.build(start)


def _filled(groups: list[list[Encoded]], shared: int, limit: int) -> Iterator[list[list[Encoded]]]:
    """Fill passes with groups of examples of one prompt; split a group that is too long."""
    current: list[list[Encoded]] = []
    room = limit
    for group in groups:
        prompt = len(group[0].prompt) - shared
        taken: list[Encoded] = []
        for example in group:
            target = len(example.target) - 1
            need = target if taken else target + prompt
            if need > room and (current or taken):
                yield [*current, taken] if taken else current
                current, taken, room = [], [], limit
                need = target + prompt
            taken.append(example)
            room -= need
        current.append(taken)
    yield current


def _length(groups: list[list[Encoded]], shared: int) -> int:
    prompts = sum(len(group[0].prompt) - shared for group in groups)
    return prompts + sum(len(example.target) - 1 for group in groups for example in group)


def _chunks(examples: Sequence[Encoded], limit: int, layout: str) -> Iterator[list[Encoded]]:
    """Split examples into passes with at most `limit` tokens, padding included.

    Those of a padded pass, the shortest first, are of similar lengths.
    """
    chunk: list[Encoded] = []
    total = shortest = 0
    for example in examples:
        width = len(example) - 1
        total += width
        size = total if layout == "packed" else width * (len(chunk) + 1)
        differ = layout == "padded" and width > _PADDED_TO * shortest
        if chunk and (size > limit or differ):
            yield chunk
            chunk, total = [], width
        shortest = shortest if chunk else width
        chunk.append(example)
    yield chunk


def _packed(examples: list[Encoded]) -> Pass:
    builder = _RowBuilder()
    for example in examples:
        builder.add_group([example], 0)
    return builder.build()


def _padded(examples: list[Encoded]) -> Pass:
    """Pad on the right, where causal attention never looks: no mask is needed."""
    inputs = [torch.tensor((example.prompt + example.target)[:-1]) for example in examples]
    ids = torch.nn.utils.rnn.pad_sequence(inputs, batch_first=True)
    width = ids.shape[1]
    sources: list[int] = []
    for number, example in enumerate(examples):
        first = number * width + len(example.prompt) - 1
        sources += range(first, first + len(example.target))
    counts = torch.tensor([len(example.target) for example in examples])
    shares = torch.tensor([example.weight for example in examples], dtype=torch.float64)
    return Pass(
        ids=ids,
        positions=torch.arange(width).expand(len(examples), -1),
        parts=(),
        sources=torch.tensor(sources),
        labels=torch.tensor([token for example in examples for token in example.target]),
        shares=shares.repeat_interleave(counts),
        prompts=sum(len(example.prompt) for example in examples),
        padding=ids.numel() - sum(map(len, inputs)),
    )
