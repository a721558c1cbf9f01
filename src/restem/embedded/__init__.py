"""Hold the embedded world: problems, corpus and tiny base models that need no download."""
