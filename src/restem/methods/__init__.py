"""The small mechanisms that single methods need, each named after its paper."""
