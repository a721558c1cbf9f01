"""Knights and knaves of the embedded world: logic, verified by exact match of the knights."""

from collections.abc import Iterable
from typing import Any

from restem.config.data import EmbeddedSource
from restem.embedded import knights
from restem.rewards.exact import answer_in
from restem.tasks.procedural import Example, embedded_task


def rows(split: str, source: EmbeddedSource) -> list[dict[str, Any]]:
    """Generate the problems of a split."""
    return knights.problems(split, source.pool, source.seed)


def examples() -> Iterable[Example]:
    """Generate the worked examples of the prompt."""
    for shot in knights.few_shot():
        yield shot["question"], answer_in(shot["solution"], thinking=True), shot["solution"]


TASK = embedded_task(
    "knights", knights.PROMPT, rows, examples,
    verifier="exact", markers=("answer_is",), hint=" The answer is {answer}.",
)  # fmt: skip
