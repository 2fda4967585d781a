"""Experiment trackers, one module each; `contract` defines their interface."""
