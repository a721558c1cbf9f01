"""Chance that depends only on a seed and some names: numbers, and which verdicts are flipped."""

import hashlib
from collections.abc import Sequence


def derived_seed(seed: Sequence[int], *names: object) -> int:
    """Return a number of 64 bits that depends only on a seed and some names."""
    text = "/".join(map(str, [list(seed), *names]))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def is_flipped(share: float, seed: Sequence[int], *names: object) -> bool:
    """Tell whether the verdict on a completion with these names is one of a share to invert."""
    return share > 0 and derived_seed(seed, "flip", *names) / 2**64 < share
