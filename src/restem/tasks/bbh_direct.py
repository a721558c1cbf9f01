"""BIG-Bench Hard with direct answers."""

from restem.tasks.bbh import bbh_task

TASK = bbh_task("bbh_direct", thinking=False)
