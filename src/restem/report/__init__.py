"""Pages for people, made from tables alone."""
