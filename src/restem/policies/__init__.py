"""A policy on disk: its checkpoint, manifest, adapter and card, and where base models come from."""
