"""Frozen encoders under test: features, classifiers, attacks, corruptions."""
