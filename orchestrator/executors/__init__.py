"""Where trials run: one module or package for each executor, see `contract`."""
