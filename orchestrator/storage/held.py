"""The error for a sweep's folder that another process has locked."""


class HeldError(Exception):
    """Another process has locked the folder; the message names the process."""
