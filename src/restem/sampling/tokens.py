"""Turn prompts into token ids, check them, and find the tokens that they share."""

from collections.abc import Sequence
from typing import Any

from restem.errors import RestemError
from restem.sampling.engine import BadPrompts, PromptTooLong, Request


def encode(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Return the token ids of each text, with the special tokens that the tokenizer adds."""
    return [list(ids) for ids in tokenizer(list(texts)).input_ids] if texts else []


def encode_prompts(tokenizer: Any, requests: Sequence[Request]) -> list[list[int]]:
    """Return the token ids of each prompt; a chat prompt already has its special tokens."""
    texts = [request.prefix + request.prompt for request in requests]
    if not any(request.chat for request in requests):
        return encode(tokenizer, texts)
    return [
        list(tokenizer(text, add_special_tokens=not request.chat).input_ids)
        for text, request in zip(texts, requests, strict=True)
    ]


def checked_prompts(
    tokenizer: Any, requests: Sequence[Request], context: int | None, stop: Sequence[str]
) -> list[list[int]]:
    """Return the token ids of each prompt; context: longest sequence in tokens.

    Raises BadPrompts for prompts that are empty or leave no room for one more token, and
    RestemError for a stop string that cannot appear or always does.
    """
    prompts = encode_prompts(tokenizer, requests)
    pairs = list(zip(requests, prompts, strict=True))
    if context and (long := [r.problem_id for r, ids in pairs if len(ids) >= context]):
        raise PromptTooLong(long, context)
    if empty := [request.problem_id for request, ids in pairs if not ids]:
        raise BadPrompts(
            "a prompt without a token gives the model nothing to continue",
            empty,
            "give a prompt, or use a tokenizer that adds a start token",
        )
    for string in stop:
        if not string or not _can_write(tokenizer, string):
            raise RestemError(
                f"the stop string {string!r} is unknown to the model's tokenizer: "
                + ("no completion can contain it" if string else "every completion contains it"),
                "stop strings of the task",
                "name a string that the model can write",
            )
    return prompts


def _can_write(tokenizer: Any, string: str) -> bool:
    """Tell whether every character of a string is in some token."""
    ids = tokenizer(string, add_special_tokens=False).input_ids
    if tokenizer.unk_token_id is None or tokenizer.unk_token_id not in ids:
        return True
    characters = set("".join(tokenizer.batch_decode([[token] for token in range(len(tokenizer))])))
    return (
        string in tokenizer.get_added_vocab() or "\ufffd" in characters or characters >= set(string)
    )


def shared_length(prompts: Sequence[list[int]]) -> int:
    """Count the first tokens that all prompts share, leaving each at least one of its own.

    Texts are tokenised whole and compared as tokens. So a token that spans the end of a shared text
    is not shared.
    """
    first, last = min(prompts), max(prompts)
    longest = min(len(ids) for ids in prompts) - 1
    pairs = zip(first[:longest], last[:longest], strict=True)
    return next((place for place, (a, b) in enumerate(pairs) if a != b), max(longest, 0))


def end_ids(generation_config: Any, tokenizer: Any) -> tuple[int, ...]:
    """Return the token ids that end a text, from the generation config or the tokenizer."""
    ids = generation_config.eos_token_id
    if ids is None:
        ids = tokenizer.eos_token_id
    return tuple(ids) if isinstance(ids, list) else () if ids is None else (ids,)


def context_tokens(model: Any, at_most: int | None = None) -> int | None:
    """Return the longest sequence in tokens: that of a model or its config, or a lower limit."""
    config = getattr(model, "config", model).get_text_config()
    limits = (getattr(config, "max_position_embeddings", None), at_most)
    return min((int(limit) for limit in limits if limit), default=None)
