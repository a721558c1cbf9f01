"""ReST-EM as a reproducible workflow: sample, verify, select, fine-tune the base model, repeat."""
