"""Facts of the embedded world, learned in pretraining only; fine-tuning may make a model forget.

They are asked without worked examples and answered in one word. All splits would be the same list,
so there is only a test split.
"""

from typing import Any

from restem.config.data import EmbeddedSource
from restem.embedded import world
from restem.tasks.procedural import embedded_task
from restem.tasks.task import no_split


def rows(split: str, source: EmbeddedSource) -> list[dict[str, Any]]:
    """Generate the questions. Raises RestemError for splits other than test."""
    if split != "test":
        raise no_split("facts", split)
    return world.problems("facts", split, source.pool)


TASK = embedded_task("facts", world.PROMPT["facts"], rows, lambda: (), verifier="exact")
