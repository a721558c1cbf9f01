"""Commands that are no stage: grading files, planning, showing and archiving artifacts."""
