"""Run programs that nobody trusts, behind walls that are probed before anything else runs."""
