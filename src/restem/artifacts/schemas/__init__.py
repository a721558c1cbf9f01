"""The columns of all tables, in one module for each part of a study.

A stage's code includes the modules that it imports, so a new column of an estimate makes estimates
stale, but no completions and no policies.
"""
