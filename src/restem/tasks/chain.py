"""One chain of assignments, a MATH-like exercise of the embedded world."""

from restem.tasks.procedural import procedural_task

TASK = procedural_task("chain", "boxed")
