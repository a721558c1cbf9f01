"""Turn kept examples into token sequences, and skip those that cannot be trained on."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from restem.answers.thoughts import after_thoughts
from restem.artifacts.schemas.loop import HUMAN
from restem.config.training import Training
from restem.errors import RestemError
from restem.sampling.prompts import PromptForm
from restem.sampling.tokens import encode, encode_after
from restem.tasks.task import Task


@dataclass(frozen=True)
class Example:
    """A prompt with a target completion.

    prefix: text that many examples share; prompt: the text after it; target: the completion with
    its end marker; weight: the reward r(x, y) of Eq. 3, negative to push away from the target.
    chat: the texts hold the special tokens of a chat template. following: what a policy that goes
    on says after the target; it is not trained on, but decides how the target's end is tokenised.
    """

    prefix: str
    prompt: str
    target: str
    weight: float
    chat: bool = False
    following: str = ""


@dataclass(frozen=True)
class Encoded:
    """The token ids of an example; only the target's tokens have loss.

    family: identifies the prefix that it shares; only examples of one family share computation.
    """

    prompt: list[int]
    target: list[int]
    weight: float
    family: str = ""

    def __len__(self) -> int:
        return len(self.prompt) + len(self.target)


def in_form(
    rows: Iterable[Mapping[str, Any]],
    form: PromptForm,
    task: Task,
    thoughts: Literal["keep", "strip"],
) -> list[Example]:
    """Return rows of the table `examples` as a policy is trained on them.

    thoughts: as in `training.thoughts`. Running text is in its final form in the table.
    """
    examples = []
    for row in rows:
        target, is_sampled = row["target"], not row["source"].startswith(f"{HUMAN}:")
        if thoughts == "strip" and (answer := after_thoughts(target)) != target:
            target, is_sampled = answer if form.chat else task.answer(answer), False
        prefix = form.prefix if form.chat else row["prefix"]
        target = form.target(target, is_sampled)
        prompt = form.prompt(row["prompt"])
        examples.append(Example(prefix, prompt, target, row["weight"], form.chat, form.following))
    return examples


class EmptyExamples(RestemError):  # noqa: N818 - a condition of the data, not a defect
    """No example can be trained on."""

    def __init__(self, count: int, skipped: dict[str, int]) -> None:
        reasons = ", ".join(f"{number} {reason}" for reason, number in skipped.items())
        super().__init__(
            "there is no example to train on",
            f"{count} examples given" + (f", of which skipped: {reasons}" if reasons else ""),
            "check that any completion was rewarded, and raise training.max_length_tokens "
            "if examples were too long",
        )


def encode_examples(
    examples: Sequence[Example], tokenizer: Any, settings: Training, context: int | None
) -> tuple[list[Encoded], dict[str, int]]:
    """Return the examples that can be trained on, in order, and counts of the others by reason.

    context: longest sequence of the model in tokens. Raises EmptyExamples, and RestemError for a
    weight that is not finite.
    """
    for place, example in enumerate(examples):
        if not math.isfinite(example.weight):
            raise RestemError(
                f"an example's weight is {example.weight}",
                f"example {place}",
                "give every example a finite weight; a negative one pushes away from its target",
            )
    max_length = min(settings.max_length_tokens, context or settings.max_length_tokens)
    kept: list[Encoded] = []
    skipped: Counter[str] = Counter()
    for encoded in _tokenise(examples, tokenizer, settings.end_of_text):
        if encoded.weight == 0:
            skipped["zero_weight"] += 1
        elif not encoded.prompt or not encoded.target:
            skipped["empty"] += 1
        elif len(encoded) > max_length:
            skipped["too_long"] += 1
        else:
            kept.append(encoded)
    if not kept:
        raise EmptyExamples(len(examples), dict(skipped))
    return kept, dict(skipped)


def _tokenise(examples: Sequence[Example], tokenizer: Any, end_of_text: bool) -> list[Encoded]:
    if end_of_text and tokenizer.eos_token_id is None:
        raise RestemError(
            "the tokenizer has no end-of-text token to append",
            "training.end_of_text",
            "set it to false, or give the checkpoint's tokenizer an eos_token",
        )
    end = [tokenizer.eos_token_id] if end_of_text else []
    chat = any(example.chat for example in examples)
    starts = [example.prefix + example.prompt for example in examples]
    unique = list(dict.fromkeys(starts))
    prompts = dict(zip(unique, encode(tokenizer, unique, chat), strict=True))
    wholes = _wholes(starts, examples, tokenizer, chat, goes_on=not end_of_text)
    encoded = []
    for start, whole, example in zip(starts, wholes, examples, strict=True):
        prompt = prompts[start]
        # The policy continues the prompt's tokens, so these must be as in sampling. If a token of
        # the joined text spans prompt and target, the target's text is tokenised apart.
        if whole[: len(prompt)] == prompt:
            target = whole[len(prompt) :]
        else:
            target = encode_after(tokenizer, example.target)
        encoded.append(Encoded(prompt, target + end, example.weight, example.prefix))
    return encoded


def _wholes(
    starts: Sequence[str], examples: Sequence[Example], tokenizer: Any, chat: bool, goes_on: bool
) -> list[list[int]]:
    """Return the tokens of each prompt with its target, as a policy that goes on writes them.

    GPT-2-style tokenizers write the empty line before the next question as two tokens, but as one
    at the end of a text. A policy that learns the one never gets to the next question.
    """
    texts = [start + example.target for start, example in zip(starts, examples, strict=True)]
    wholes = encode(tokenizer, texts, chat)
    following = examples[0].following if examples and goes_on else ""
    if not following:
        return wholes
    ending = encode_after(tokenizer, following)
    longer = encode(tokenizer, [text + following for text in texts], chat)
    return [
        more[: -len(ending)] if more[-len(ending) :] == ending else whole
        for more, whole in zip(longer, wholes, strict=True)
    ]
