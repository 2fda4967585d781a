"""Typed sections of a file, search dimensions, dotted paths, mistakes."""
