"""The embedded world: problems, a corpus and tiny base models that need no download."""
