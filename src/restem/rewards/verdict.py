"""What a verifier says of one completion."""

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["correct", "incorrect", "unextractable", "timeout", "error"]


@dataclass(frozen=True)
class Verdict:
    """One completion's verdict, the answer that was found in it, and the layer that decided."""

    verdict: Outcome
    extracted: str | None
    layer: str
