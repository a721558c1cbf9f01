"""One module per benchmark: how it is read, put as a prompt and answered."""
