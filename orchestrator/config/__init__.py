"""Typed sections of a study file, search dimensions, dotted paths, and error messages."""
