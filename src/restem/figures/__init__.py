"""Figures from the tables of estimates alone, one module per figure; each defines `plot`."""
