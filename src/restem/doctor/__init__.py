"""Checks of a study, this machine and the cluster before a job starts; one function for each."""
