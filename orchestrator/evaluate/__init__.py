"""The command that measures an encoder on held-out test data."""
