"""One training in plain PyTorch: step, loop, checkpoints, export."""
