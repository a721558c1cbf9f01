"""Mathematical answers: finding them in text, reading them, and deciding whether two are equal."""
