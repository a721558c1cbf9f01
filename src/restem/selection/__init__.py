"""Which completions a policy is trained on, and with which weight."""
