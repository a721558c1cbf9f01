"""Decide which artifacts are stale: their seals say it, and Snakemake asks."""
