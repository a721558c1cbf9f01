"""Verify completions: find the answer, compare it with the gold answer, say why."""
