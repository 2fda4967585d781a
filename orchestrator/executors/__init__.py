"""Executors, which run trials: one module or package each, see `contract`."""
