"""Errors, registry, hardware and provenance: what every room may use."""
