"""MLflow as a mirror of the sweep's folder."""
