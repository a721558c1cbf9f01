"""A problem, whatever benchmark it comes from."""

from dataclasses import dataclass, field

SHOT = "shot"
INTRO = "intro"  # of a few-shot example: what stands before it in the prompt
POINTS = "points"  # of an exam's question: what its rubric gives in full


@dataclass(frozen=True)
class Problem:
    """One problem of a split.

    answer: the gold answer, None where the benchmark has none. solutions: reference solutions by
    source, such as `human`, `terse` and `careful`; a few-shot example has one, named `shot`.
    """

    id: str
    question: str
    answer: str | None
    level: int | None = None
    subject: str = ""
    solutions: dict[str, str] = field(default_factory=dict)
