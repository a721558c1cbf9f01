"""Our own engine: batched decoding with transformers, on CPUs and GPUs."""
