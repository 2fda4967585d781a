"""The command that shows where a training step's time goes."""
