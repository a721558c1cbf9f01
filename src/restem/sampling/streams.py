"""Counter-based random streams: a number follows from (seed, counter) and from nothing else.

SplitMix64 (Steele, Lea, Flood 2014) addressed by its counter, on torch's wrapping int64, so one
call serves all rows and a row draws the same alone or in any batch, on any device.
"""

from typing import Final

import torch

_GAMMA: Final = 0x9E3779B97F4A7C15 - (1 << 64)
_FIRST: Final = 0xBF58476D1CE4E5B9 - (1 << 64)
_SECOND: Final = 0x94D049BB133111EB - (1 << 64)
_BITS: Final = 40


def _xor_shift(value: torch.Tensor, bits: int) -> torch.Tensor:
    # int64 shifts keep the sign: mask it away to get the unsigned shift of the definition.
    return value ^ ((value >> bits) & ((1 << (64 - bits)) - 1))


def mixed(seeds: torch.Tensor, counter: int | torch.Tensor) -> torch.Tensor:
    """Return output `counter` of each seed's SplitMix64 stream, as wrapped int64 [rows].

    counter: one for all rows, or one a row.
    """
    value = seeds + (torch.as_tensor(counter, device=seeds.device) + 1) * _GAMMA
    value = _xor_shift(value, 30) * _FIRST
    value = _xor_shift(value, 27) * _SECOND
    return _xor_shift(value, 31)


def uniforms(seeds: torch.Tensor, counter: int | torch.Tensor) -> torch.Tensor:
    """Return one float64 in [0, 1) per seed [rows], a multiple of 2**-40."""
    top = (mixed(seeds, counter) >> (64 - _BITS)) & ((1 << _BITS) - 1)
    return top.double() * 2.0**-_BITS
