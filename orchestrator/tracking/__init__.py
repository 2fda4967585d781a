"""Where the numbers of a sweep are compared: one module or package for each tracker, see `contract`."""
