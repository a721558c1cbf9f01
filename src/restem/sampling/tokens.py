"""Turn prompts into token rows and find what they share."""

from collections.abc import Sequence
from typing import Any


def encode(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Return the token ids of each text, with the special tokens that the tokenizer adds."""
    return [list(row) for row in tokenizer(list(texts)).input_ids] if texts else []


def shared_length(rows: Sequence[list[int]]) -> int:
    """Count the first tokens that all rows share, leaving each row at least one of its own.

    Texts are tokenised whole and compared as tokens, so a token that spans the seam between a
    shared text and what follows simply is not shared.
    """
    first, last = min(rows), max(rows)
    longest = min(len(row) for row in rows) - 1
    pairs = zip(first[:longest], last[:longest], strict=True)
    return next((place for place, (a, b) in enumerate(pairs) if a != b), max(longest, 0))


def end_ids(model: Any, tokenizer: Any) -> tuple[int, ...]:
    """List the token ids that end a text, from the generation configuration or the tokenizer."""
    found = model.generation_config.eos_token_id
    if found is None:
        found = tokenizer.eos_token_id
    return tuple(found) if isinstance(found, list) else () if found is None else (found,)


def context_tokens(model: Any) -> int | None:
    """Return the longest sequence that the model has positions for, if it says so."""
    found = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return int(found) if found else None
