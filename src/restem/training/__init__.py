"""Fit a policy's weights to kept examples: the M-step."""
