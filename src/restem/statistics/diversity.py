"""How different the correct solutions of a problem are.

Solutions with the same list of equations are one, as in RFT (Yuan et al. 2023, section 3.3); those
without equations, such as programs, are one if their texts are equal.
"""

from collections import Counter
from collections.abc import Iterable

from restem.answers.equations import equations


def solution_counts(texts: Iterable[str]) -> list[int]:
    """Count how often each distinct solution was drawn, the most frequent first."""
    counts = Counter[object](equations(text) or text.strip() for text in texts)
    return sorted(counts.values(), reverse=True)
