"""The training loop in plain PyTorch: it runs in a test, a Tune actor or a Train worker and knows none of them."""

from orchestrator.training import Context, Diverged, TrainingConfig

__all__ = ["Context", "Diverged", "TrainingConfig"]
