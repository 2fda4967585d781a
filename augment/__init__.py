"""Batched, replayable augmentation: ops, pipeline, counter-based random numbers."""
