"""Draw what the paper shows from the summary alone, one module per figure."""
