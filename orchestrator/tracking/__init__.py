"""Experiment trackers, one module for each, see `contract`."""
