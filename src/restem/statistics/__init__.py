"""Estimates with intervals, votes, groups of problems, and claims tested on them."""
