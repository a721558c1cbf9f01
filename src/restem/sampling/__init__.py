"""Sample completions from a policy: engines behind one protocol."""
