"""Sample the next token of each row from its logits."""

from typing import Final

import torch

from restem.config.decoding import Decoding

# On a CPU, single precision of so many rows stays in the cache; that of all rows takes new pages.
_BLOCK_ROWS: Final = 8
# A CPU finds the largest of a large vocabulary faster among the chunks with the largest maxima.
_LARGE: Final = 100_000
_CHUNKS: Final = (128, 64)
_CHUNKS_PER_CANDIDATE: Final = 4


def sample_tokens(logits: torch.Tensor, decoding: Decoding, uniforms: torch.Tensor) -> torch.Tensor:
    """Return a token id per row [rows] from logits [rows, vocabulary].

    uniforms: one number in [0, 1) per row. It selects the token where it falls in the cumulative
    distribution in the order of token ids, so that two nearly equal probabilities that swap ranks
    by rounding do not swap the tokens.
    """
    if decoding.greedy:
        return _first_largest(logits)
    probabilities, ids = filtered(logits, decoding)
    cumulative = probabilities.cumsum(-1, dtype=torch.float64)
    target = (uniforms * cumulative[:, -1]).unsqueeze(-1)
    # Of numbers that are not finite, which the caller refuses, the place is behind the last token.
    place = torch.searchsorted(cumulative, target, right=True).clamp(max=cumulative.shape[-1] - 1)
    return (place if ids is None else ids.gather(-1, place)).squeeze(-1)


def filtered(logits: torch.Tensor, decoding: Decoding) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return the filtered distribution [rows, candidates] and its token ids, ascending.

    Probabilities are float32, 0 for what the filters remove; they need not sum to one. No ids
    means that the candidates are the whole vocabulary.
    """
    ids = None
    if 0 < decoding.top_k < logits.shape[-1]:
        ids = _largest(logits, decoding.top_k).sort(-1).values
        logits = logits.gather(-1, ids)
    probabilities = (logits.float() / decoding.temperature).softmax(-1)
    if decoding.min_p > 0:
        threshold = probabilities.amax(-1, keepdim=True) * decoding.min_p
        probabilities = probabilities.where(probabilities >= threshold, 0.0)
    if decoding.top_p < 1:
        probabilities = _nucleus(probabilities, decoding.top_p)
    return probabilities, ids


def _in_chunks(logits: torch.Tensor, candidates: int) -> torch.Tensor | None:
    """Divide a vocabulary, [rows, chunks, size], where that finds so many candidates faster."""
    vocabulary = logits.shape[-1]
    size = next((size for size in _CHUNKS if vocabulary % size == 0), vocabulary)
    few = vocabulary // size < _CHUNKS_PER_CANDIDATE * candidates
    if vocabulary < _LARGE or few or logits.device.type != "cpu":
        return None
    return logits.reshape(len(logits), -1, size)


def _largest(logits: torch.Tensor, count: int) -> torch.Tensor:
    """Return the ids of the largest logits [rows, count], in any order."""
    chunks = _in_chunks(logits, count)
    if chunks is None:
        return logits.topk(count, sorted=False).indices
    size = chunks.shape[-1]
    best = chunks.amax(-1).topk(count, sorted=False).indices
    ids = (best.unsqueeze(-1) * size + torch.arange(size)).flatten(1)
    return ids.gather(-1, logits.gather(-1, ids).topk(count, sorted=False).indices)


def _first_largest(logits: torch.Tensor) -> torch.Tensor:
    """Return the id of the largest logit [rows]; of equal ones the first."""
    chunks = _in_chunks(logits, 1)
    if chunks is None:
        return logits.argmax(-1)
    best = chunks.amax(-1).argmax(-1)
    inside = chunks[torch.arange(len(chunks)), best].argmax(-1)
    return best * chunks.shape[-1] + inside


def _nucleus(probabilities: torch.Tensor, top_p: float) -> torch.Tensor:
    ranked, order = probabilities.sort(dim=-1, descending=True, stable=True)
    before = ranked.cumsum(-1, dtype=torch.float64) - ranked
    inside = before < top_p * ranked.sum(-1, keepdim=True, dtype=torch.float64)
    return torch.zeros_like(probabilities).scatter(-1, order, ranked * inside)


def log_probabilities(logits: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Return each row's log-probability of its token [rows] under the unfiltered logits.

    It is not finite if a logit of the row is NaN or infinite, however the token was chosen.
    """
    chosen = logits.gather(-1, tokens.unsqueeze(-1)).squeeze(-1).float()
    blocks = logits.split(  # type: ignore[no-untyped-call]
        _BLOCK_ROWS if logits.device.type == "cpu" else max(1, len(logits))
    )
    return chosen - torch.cat([block.float().logsumexp(-1) for block in blocks])


_GAMMA: Final = 0x9E3779B97F4A7C15 - (1 << 64)
_FIRST: Final = 0xBF58476D1CE4E5B9 - (1 << 64)
_SECOND: Final = 0x94D049BB133111EB - (1 << 64)
_BITS: Final = 40


def _xor_shift(value: torch.Tensor, bits: int) -> torch.Tensor:
    # int64 shifts keep the sign: mask it to get the unsigned shift of the definition.
    return value ^ ((value >> bits) & ((1 << (64 - bits)) - 1))


def splitmix64(seeds: torch.Tensor, counter: int | torch.Tensor) -> torch.Tensor:
    """Return output `counter` of each seed's SplitMix64 stream, as wrapped int64 [rows].

    counter: one for all rows, or one per row.
    """
    value = seeds + (torch.as_tensor(counter, device=seeds.device) + 1) * _GAMMA
    value = _xor_shift(value, 30) * _FIRST
    value = _xor_shift(value, 27) * _SECOND
    return _xor_shift(value, 31)


def uniforms(seeds: torch.Tensor, counter: int | torch.Tensor) -> torch.Tensor:
    """Return one float64 in [0, 1) per seed [rows], a multiple of 2**-40."""
    top = (splitmix64(seeds, counter) >> (64 - _BITS)) & ((1 << _BITS) - 1)
    return top.double() * 2.0**-_BITS
