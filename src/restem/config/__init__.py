"""Everything that YAML may say, one module per block."""
