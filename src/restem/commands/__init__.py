"""Commands that are not stages of the walk, and what all commands share."""
