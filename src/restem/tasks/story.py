"""A ledger of a week, a GSM8K-like exercise of the embedded world."""

from restem.tasks.procedural import procedural_task

TASK = procedural_task("story", "hashes")
