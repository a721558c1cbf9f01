"""Decide where a completion ends, from token ids first and from text only on suspicion."""

from collections.abc import Sequence
from typing import Any, Final

import torch

# Tokens that add no text (special ones) may stand inside the window that is searched.
_SPARE_TOKENS: Final = 8


class Detokenizer:
    """Turn completion tokens into text as it continues a prompt.

    Many tokenizers drop the first space of what they decode; behind an anchor it stays.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._anchor = list(tokenizer("a", add_special_tokens=False).input_ids)
        self._start = len(self._decode([self._anchor])[0])

    def _decode(self, rows: Sequence[Sequence[int]]) -> list[str]:
        texts: list[str] = self._tokenizer.batch_decode(
            rows, skip_special_tokens=True, clean_up_tokenization_spaces=False
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
        special = tokenizer.get_added_vocab()
        self.strings = tuple(string for string in stop if string not in special)
        ids = [*end_ids, *(special[s] for s in stop if s in special)]
        self.end_ids = dict(zip(ids, tokenizer.convert_ids_to_tokens(ids), strict=True))

    def texts(self, rows: Sequence[Sequence[int]]) -> list[tuple[str, str | None]]:
        """Return each finished row's text up to its end, and what ended it, if anything did."""
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
    """Find the end of completions while they are drawn: end-of-text tokens and stop strings."""

    def __init__(
        self, tokenizer: Any, stop: tuple[str, ...], end_ids: Sequence[int], vocabulary: int
    ) -> None:
        super().__init__(tokenizer, stop, end_ids)
        self._window = max((len(s.encode()) for s in self.strings), default=0) + _SPARE_TOKENS
        self._is_end = torch.zeros(vocabulary, dtype=torch.bool)
        self._is_end[list(self.end_ids)] = True
        self._may_end = self._suspects(min(vocabulary, len(tokenizer)), vocabulary)

    def _suspects(self, known: int, vocabulary: int) -> torch.Tensor:
        """Mark the tokens in whose text a stop string can end."""
        found = torch.zeros(vocabulary, dtype=torch.bool)
        if self.strings:
            pieces = self._detokenizer.texts([[token] for token in range(known)])
            found[:known] = torch.tensor([self._can_end_in(piece) for piece in pieces])
        return found

    def _can_end_in(self, piece: str) -> bool:
        # A lone part of a multi-byte character decodes to the replacement character.
        return "\ufffd" in piece or any(
            string in piece or any(piece.startswith(string[k:]) for k in range(1, len(string)))
            for string in self.strings
        )

    def to(self, device: torch.device) -> "Stops":
        """Move the token tables to the device that samples."""
        self._is_end, self._may_end = self._is_end.to(device), self._may_end.to(device)
        return self

    def ended(
        self, tokens: torch.Tensor, running: torch.Tensor, begins: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return which running rows end with the last column of tokens [rows, columns].

        begins: the column where a row's own tokens begin; the first, if it is left out.
        """
        last = tokens[:, -1]
        ended = self._is_end[last] & running
        suspects = (self._may_end[last] & running & ~ended).nonzero().squeeze(-1).tolist()
        if suspects:
            starts = [0] * len(suspects) if begins is None else begins[suspects].tolist()
            hits = self._with_stop(tokens[suspects], starts)
            ended[[row for row, hit in zip(suspects, hits, strict=True) if hit]] = True
        return ended

    def _with_stop(self, tokens: torch.Tensor, starts: list[int]) -> list[bool]:
        cut = max(tokens.shape[1] - self._window, 0)
        rows = zip(tokens[:, cut:].tolist(), starts, strict=True)
        tails = self._detokenizer.texts([row[max(start - cut, 0) :] for row, start in rows])
        return [any(string in tail for string in self.strings) for tail in tails]
