"""Turn kept examples into token sequences and sort out what cannot be trained on."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from restem.config.training import Training
from restem.errors import RestemError
from restem.sampling.tokens import encode


@dataclass(frozen=True)
class Example:
    """Pair a prompt with a target completion.

    prefix: text that many examples share; prompt: the text after it; target: the completion, end
    marker included; weight: the reward r(x, y) of Eq. 3, at least 0.
    """

    prefix: str
    prompt: str
    target: str
    weight: float


@dataclass(frozen=True)
class Encoded:
    """Hold an example's token ids; loss falls on the target's only.

    family: names the text that it shares with other examples; only those are laid out together.
    """

    prompt: list[int]
    target: list[int]
    weight: float
    family: str = ""

    def __len__(self) -> int:
        return len(self.prompt) + len(self.target)


class EmptyExamples(RestemError):  # noqa: N818 - a condition of the data, not a defect
    """Report that nothing is left to train on."""

    def __init__(self, given: int, skipped: dict[str, int]) -> None:
        reasons = ", ".join(f"{count} {reason}" for reason, count in skipped.items())
        super().__init__(
            "there is no example to train on",
            f"{given} examples given" + (f", of which skipped: {reasons}" if reasons else ""),
            "check that any completion was rewarded, and raise training.max_length_tokens "
            "if examples were too long",
        )


def encoded(
    examples: Sequence[Example], tokenizer: Any, settings: Training, context: int | None
) -> tuple[list[Encoded], dict[str, int]]:
    """Return what can be trained on, in the given order, and counts of the rest by reason.

    Raises EmptyExamples, and RestemError for a weight that is negative or not a number.
    """
    _check_weights(examples)
    longest = min(settings.max_length_tokens, context or settings.max_length_tokens)
    found: list[Encoded] = []
    skipped: Counter[str] = Counter()
    for item in _tokenised(examples, tokenizer, settings.end_of_text):
        reason = _skip_reason(item, longest)
        if reason:
            skipped[reason] += 1
        else:
            found.append(item)
    if not found:
        raise EmptyExamples(len(examples), dict(skipped))
    return found, dict(skipped)


def _skip_reason(item: Encoded, longest: int) -> str | None:
    if item.weight == 0:
        return "zero_weight"
    if not item.prompt or not item.target:
        return "empty"
    return "too_long" if len(item) > longest else None


def _check_weights(examples: Sequence[Example]) -> None:
    for place, example in enumerate(examples):
        if not math.isfinite(example.weight):
            raise RestemError(
                f"an example's weight is {example.weight}",
                f"example {place}",
                "give every example a finite weight; a negative one pushes away from its target",
            )


def _tokenised(examples: Sequence[Example], tokenizer: Any, end_of_text: bool) -> list[Encoded]:
    starts = [example.prefix + example.prompt for example in examples]
    unique = list(dict.fromkeys(starts))
    prompts = dict(zip(unique, encode(tokenizer, unique), strict=True))
    wholes = encode(tokenizer, [s + e.target for s, e in zip(starts, examples, strict=True)])
    end = _end(tokenizer) if end_of_text else []
    return [
        Encoded(
            prompts[start],
            [*_target(prompts[start], whole, e.target, tokenizer), *end],
            e.weight,
            e.prefix,
        )
        for start, whole, e in zip(starts, wholes, examples, strict=True)
    ]


def _end(tokenizer: Any) -> list[int]:
    if tokenizer.eos_token_id is None:
        raise RestemError(
            "the tokenizer has no end-of-text token to append",
            "training.end_of_text",
            "set it to false, or give the checkpoint's tokenizer an eos_token",
        )
    return [tokenizer.eos_token_id]


def _target(prompt: list[int], whole: list[int], text: str, tokenizer: Any) -> list[int]:
    # The policy continues the prompt's tokens, so these must stay as they are when sampling. Where
    # a token of the joined text would span the seam, the target is tokenised alone.
    if whole[: len(prompt)] == prompt:
        return whole[len(prompt) :]
    return list(tokenizer(text, add_special_tokens=False).input_ids)
