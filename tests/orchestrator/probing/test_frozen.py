"""What stands for an encoder, and changes with it."""

import torch

from orchestrator.probing.frozen import fingerprint


def test_fingerprint_sees_parameters_and_buffers() -> None:
    module = torch.nn.BatchNorm1d(3)
    seen = {fingerprint(module)}
    with torch.no_grad():
        for name in ("weight", "running_mean", "num_batches_tracked"):
            module.state_dict()[name] += 1
            seen.add(fingerprint(module))
    assert len(seen) == 4
