"""MLflow: publishing what was made."""
