"""Turn prompts into token rows and find what they share."""

from collections.abc import Sequence
from typing import Any

from restem.errors import RestemError
from restem.sampling.engine import BadPrompts, PromptTooLong, Request


def encode(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Return the token ids of each text, with the special tokens that the tokenizer adds."""
    return [list(row) for row in tokenizer(list(texts)).input_ids] if texts else []


def encode_prompts(tokenizer: Any, requests: Sequence[Request]) -> list[list[int]]:
    """Return the token ids of each prompt; a chat template has its special tokens in the text."""
    texts = [request.prefix + request.prompt for request in requests]
    if not any(request.chat for request in requests):
        return encode(tokenizer, texts)
    return [
        list(tokenizer(text, add_special_tokens=not request.chat).input_ids)
        for text, request in zip(texts, requests, strict=True)
    ]


def check_prompts(
    requests: Sequence[Request], prompts: Sequence[list[int]], context: int | None
) -> None:
    """Refuse prompts without room for one more token, and those without a token to continue."""
    pairs = list(zip(requests, prompts, strict=True))
    if context and (long := [item.problem_id for item, row in pairs if len(row) >= context]):
        raise PromptTooLong(long, context)
    if empty := [item.problem_id for item, row in pairs if not row]:
        raise BadPrompts(
            "a prompt without a token gives the model nothing to continue",
            empty,
            "give a prompt, or use a tokenizer that adds a start token",
        )


def check_stops(tokenizer: Any, stop: Sequence[str]) -> None:
    """Refuse a stop string that can never appear, or that is always there."""
    for string in stop:
        if not string or not _writable(tokenizer, string):
            raise RestemError(
                f"the stop string {string!r} is unknown to the model's tokenizer: "
                + ("no completion can contain it" if string else "every completion contains it"),
                "stop strings of the task",
                "name a string that the model can write",
            )


def _writable(tokenizer: Any, string: str) -> bool:
    """Tell whether every character of a string is in some token."""
    ids = tokenizer(string, add_special_tokens=False).input_ids
    if tokenizer.unk_token_id is None or tokenizer.unk_token_id not in ids:
        return True
    pieces = set("".join(tokenizer.batch_decode([[token] for token in range(len(tokenizer))])))
    return string in tokenizer.get_added_vocab() or "\ufffd" in pieces or pieces >= set(string)


def shared_length(rows: Sequence[list[int]]) -> int:
    """Count the first tokens that all rows share, leaving each row at least one of its own.

    Texts are tokenised whole and compared as tokens, so a token that spans the seam between a
    shared text and what follows simply is not shared.
    """
    first, last = min(rows), max(rows)
    longest = min(len(row) for row in rows) - 1
    pairs = zip(first[:longest], last[:longest], strict=True)
    return next((place for place, (a, b) in enumerate(pairs) if a != b), max(longest, 0))


def end_ids(generation_config: Any, tokenizer: Any) -> tuple[int, ...]:
    """List the token ids that end a text, from the generation configuration or the tokenizer."""
    found = generation_config.eos_token_id
    if found is None:
        found = tokenizer.eos_token_id
    return tuple(found) if isinstance(found, list) else () if found is None else (found,)


def context_tokens(model: Any, at_most: int | None = None) -> int | None:
    """Return the longest sequence that a model, or its configuration, allows and a study wants."""
    config = getattr(model, "config", model).get_text_config()
    found = getattr(config, "max_position_embeddings", None)
    return min((int(limit) for limit in (found, at_most) if limit), default=None)
