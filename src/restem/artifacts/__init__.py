"""Artifacts: tables, seals, and the digests that decide whether an artifact is stale."""
