"""Run untrusted programs in isolation, after checking that every wall of the sandbox holds."""
