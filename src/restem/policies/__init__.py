"""A policy on disk: its checkpoint, manifest and card, and where base models come from."""
