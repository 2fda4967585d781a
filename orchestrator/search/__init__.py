"""Trials, suggestions, early stopping and confirmation."""
