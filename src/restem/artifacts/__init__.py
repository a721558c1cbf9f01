"""What a stage leaves behind: tables, seals, and the digests that decide whether it is stale."""
