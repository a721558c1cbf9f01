"""BIG-Bench Hard with chain of thought."""

from restem.tasks.bbh import bbh_task

TASK = bbh_task("bbh_cot", thinking=True)
