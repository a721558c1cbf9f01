"""Publish a study to MLflow."""
