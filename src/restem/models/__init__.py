"""One module per source of base models: the files it reads, and how it fills a checkpoint."""
