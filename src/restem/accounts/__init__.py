"""What a study costs: tokens, FLOPs and time, measured and forecast."""
