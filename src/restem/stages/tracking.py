"""Stage tracking."""
