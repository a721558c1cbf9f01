"""Facts of the embedded world, taught by pretraining alone: what fine-tuning makes a model forget.

They are asked without worked examples and answered in a word. All splits would be the same list, so
that there is a test split only.
"""

from restem.embedded import world
from restem.errors import RestemError
from restem.tasks.problem import Problem
from restem.tasks.procedural import embedded, framed, no_files
from restem.tasks.sources import Reader
from restem.tasks.task import Task

FAMILY = "facts"


def load(reader: Reader, split: str) -> list[Problem]:
    """Make the questions; there are no worked examples. Raises RestemError for other splits."""
    source = embedded(reader.source)
    if split == "shots":
        return []
    if split != "test":
        raise RestemError(
            f"the facts have no {split} split",
            f"task {FAMILY}",
            f"set data.{split}: 0 and evaluate on test only",
        )
    return [Problem(**made) for made in world.problems(FAMILY, split, source.pool)]


TASK = Task(
    name=FAMILY,
    files=no_files,
    load=load,
    question=lambda text: world.PROMPT[FAMILY].format(question=text),
    answer=framed,
    stop=(world.END,),
    verifier="exact",
    markers=(),
)
