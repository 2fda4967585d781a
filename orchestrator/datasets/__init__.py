"""One file per data set: its settings, its card and how to load a split."""
