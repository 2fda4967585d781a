"""What is said of a sweep's folder that another process has."""


class HeldError(Exception):
    """Another process has the folder; the text says which one."""
