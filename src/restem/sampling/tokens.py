"""Turn prompts into token ids, check them, and find the tokens that they share."""

from collections.abc import Sequence
from typing import Any, Final

from restem.errors import RestemError
from restem.policies.tokenizer import start_ids
from restem.sampling.engine import BadPrompts, PromptTooLong, Request

# Texts of different kinds, of which one is no part of a token with what follows it.
_ANCHORS: Final = ("a", "\n", "1", ".", "é", "#", " ")


def encode(tokenizer: Any, texts: Sequence[str], chat: bool = False) -> list[list[int]]:
    """Return the token ids of each text, after the tokenizer's start tokens, and without an end.

    chat: the texts hold the special tokens of a chat template, so that none is added. Sampling,
    validation and training all call this. Raises RestemError if the tokenizer adds anything else.
    """
    if not texts:
        return []
    start = start_ids(tokenizer)
    rows = map(list, tokenizer(list(texts), add_special_tokens=False).input_ids)
    if chat:
        return [_begun_once(ids, tokenizer.bos_token_id) for ids in rows]
    # A text may begin with the start token already, for instance in a tokenizer's own normaliser.
    return [ids if start and ids[: len(start)] == start else [*start, *ids] for ids in rows]


def _begun_once(ids: list[int], start: int | None) -> list[int]:
    """Leave one of several start tokens: a template writes one, and a normaliser may as well."""
    count = next((place for place, token in enumerate(ids) if token != start), len(ids))
    return ids[max(count - 1, 0) :]


def encode_after(tokenizer: Any, text: str) -> list[int]:
    """Return the token ids of a text that goes on from another one.

    At the start of a text many tokenizers add a space, which they do not after an anchor.
    """
    for anchor in _ANCHORS:
        before = list(tokenizer(anchor, add_special_tokens=False).input_ids)
        both = list(tokenizer(anchor + text, add_special_tokens=False).input_ids)
        if before and both[: len(before)] == before:
            return both[len(before) :]
    return list(tokenizer(text, add_special_tokens=False).input_ids)


def encode_prompts(tokenizer: Any, requests: Sequence[Request]) -> list[list[int]]:
    """Return the token ids of each prompt."""
    encoded = {
        chat: iter(
            encode(tokenizer, [r.prefix + r.prompt for r in requests if r.chat == chat], chat)
        )
        for chat in (False, True)
    }
    return [next(encoded[request.chat]) for request in requests]


def checked_prompts(
    tokenizer: Any, requests: Sequence[Request], context: int | None, stop: Sequence[str]
) -> list[list[int]]:
    """Return the token ids of each prompt; context: longest sequence in tokens.

    Raises BadPrompts for prompts that are empty or leave no room for one more token, and
    RestemError if no stop string can appear, or one always does.
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
    if "" in stop or (stop and not any(_can_write(tokenizer, string) for string in stop)):
        listed = ", ".join(map(repr, stop))
        raise RestemError(
            f"the stop strings {listed} are unknown to the model's tokenizer: no completion can "
            "contain one"
            if all(stop)
            else "a stop string is empty: every completion contains it",
            "stop strings of the task (src/restem/tasks)",
            "name one that the model can write",
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
    """Return the token ids that end a text, from the generation config and the tokenizer.

    Training ends its targets with the tokenizer's, so that has to end a text in any case.
    """
    stated = generation_config.eos_token_id
    ids = stated if isinstance(stated, list) else [stated]
    return tuple(dict.fromkeys(i for i in (*ids, tokenizer.eos_token_id) if i is not None))


def context_tokens(model: Any, at_most: int | None = None) -> int | None:
    """Return the longest sequence in tokens: that of a model or its config, or a lower limit."""
    config = getattr(model, "config", model).get_text_config()
    limits = (getattr(config, "max_position_embeddings", None), at_most)
    return min((int(limit) for limit in limits if limit), default=None)
