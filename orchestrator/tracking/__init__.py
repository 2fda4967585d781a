"""Where numbers are compared: one module per tracker, see `contract`."""
