"""Decide where a completion ends: from token ids first, from text only where it may have ended."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import torch

# Tokens without text (special ones) may stand in the window that is searched.
_SPARE_TOKENS: Final = 8


class Detokenizer:
    """Turn the tokens of a completion into the text that continues a prompt.

    Many tokenizers drop the first space of what they decode; after an anchor it stays.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._anchor = list(tokenizer("a", add_special_tokens=False).input_ids)
        self._start = len(self._decode([self._anchor])[0])

    def _decode(self, rows: Sequence[Sequence[int]]) -> list[str]:
        texts: list[str] = (
            # The same, without Python for each row.
            self._tokenizer.backend_tokenizer.decode_batch(rows, skip_special_tokens=True)
            if self._tokenizer.is_fast
            else self._tokenizer.batch_decode(
                rows, skip_special_tokens=True, clean_up_tokenization_spaces=False
            )
        )
        return texts

    def texts(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """Return the text of each row of token ids."""
        decoded = self._decode([[*self._anchor, *row] for row in rows]) if rows else []
        return [text[self._start :] for text in decoded]


class Ends:
    """Read finished completions: their text up to the stop string or token that ended them.

    A stop string that is a special token of the tokenizer counts as an end-of-text token.
    """

    def __init__(self, tokenizer: Any, stop: tuple[str, ...], end_ids: Sequence[int]) -> None:
        self._detokenizer = Detokenizer(tokenizer)
        # Added tokens that are not special are text: Gemma's are line breaks and tags, for example.
        added = tokenizer.added_tokens_decoder
        special = {token.content: index for index, token in added.items() if token.special}
        self.strings = tuple(string for string in stop if string not in special)
        ids = [*end_ids, *(special[s] for s in stop if s in special)]
        self.end_ids = dict(zip(ids, tokenizer.convert_ids_to_tokens(ids), strict=True))

    def texts(self, rows: Sequence[Sequence[int]]) -> list[tuple[str, str | None]]:
        """Return each row's text up to its end, and the stop string or token there, if any."""
        bare = [row[:-1] if row[-1] in self.end_ids else row for row in rows]
        texts = self._detokenizer.texts(bare)
        return [self._cut(text, row[-1]) for text, row in zip(texts, rows, strict=True)]

    def _cut(self, text: str, last: int) -> tuple[str, str | None]:
        places = [(place, s) for s in self.strings if (place := text.find(s)) >= 0]
        if not places:
            return text, self.end_ids.get(last)
        place, string = min(places)
        return text[:place], string


class Stops(Ends):
    """Find the ends of completions while they are sampled, on the device that samples."""

    def __init__(
        self,
        tokenizer: Any,
        stop: tuple[str, ...],
        end_ids: Sequence[int],
        vocabulary: int,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(tokenizer, stop, end_ids)
        self._window = max((len(s.encode()) for s in self.strings), default=0) + _SPARE_TOKENS
        is_end = torch.zeros(vocabulary, dtype=torch.bool)
        is_end[list(self.end_ids)] = True
        may_end = _may_end(tokenizer, self.strings, vocabulary)
        self._is_end, self._may_end = is_end.to(device), may_end.to(device)

    def ended(
        self, tokens: torch.Tensor, running: torch.Tensor, begins: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return which running rows end with the last column of tokens [rows, columns].

        begins: the column where a row's own tokens begin; by default the first.
        """
        last = tokens[:, -1]
        ended = self._is_end[last] & running
        suspects = (self._may_end[last] & running & ~ended).nonzero().squeeze(-1).tolist()
        if suspects:
            starts = [0] * len(suspects) if begins is None else begins[suspects].tolist()
            hits = self._have_stop_string(tokens[suspects], starts)
            ended[[row for row, hit in zip(suspects, hits, strict=True) if hit]] = True
        return ended

    def _have_stop_string(self, tokens: torch.Tensor, starts: list[int]) -> list[bool]:
        cut = max(tokens.shape[1] - self._window, 0)
        rows = zip(tokens[:, cut:].tolist(), starts, strict=True)
        tails = self._detokenizer.texts([row[max(start - cut, 0) :] for row, start in rows])
        return [any(string in tail for string in self.strings) for tail in tails]


@lru_cache(maxsize=4)  # an M-step validates often, and some vocabularies have 262,144 tokens
def _may_end(tokenizer: Any, strings: tuple[str, ...], vocabulary: int) -> torch.Tensor:
    """Return which tokens have a text in which a stop string can end."""
    may_end = torch.zeros(vocabulary, dtype=torch.bool)
    if strings:
        known = min(vocabulary, len(tokenizer))
        texts = Detokenizer(tokenizer).texts([[token] for token in range(known)])
        can_end = _endings(strings)
        may_end[:known] = torch.tensor([can_end.search(text) is not None for text in texts])
    return may_end


def _endings(strings: tuple[str, ...]) -> re.Pattern[str]:
    """Match a text in which a stop string can end: it has one, or begins with the rest of one.

    A lone part of a multi-byte character decodes to the replacement character.
    """
    rests = (string[k:] for string in strings for k in range(1, len(string)))
    parts = ["\ufffd", *map(re.escape, strings), *(rf"\A{re.escape(rest)}" for rest in rests)]
    return re.compile("|".join(parts))
