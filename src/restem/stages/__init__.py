"""One module per stage of the walk; each turns declared inputs into declared outputs."""
