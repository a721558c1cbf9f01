"""Publishing a study to others: policies, completions, verdicts, tables and figures, with cards."""
