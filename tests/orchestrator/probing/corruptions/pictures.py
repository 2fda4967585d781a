"""Small pictures with texture, edges, black and white."""

import numpy as np

from augment import draws
from orchestrator.datasets import synthetic


def pictures(count: int = 4, side: int = 32) -> np.ndarray:
    """Uint8 (N, S, S, 3): shapes on noise, with a black, a white and a gray corner."""
    config = synthetic.Config(size=side, test_size=count)
    images = synthetic.load(config, "test/original").images.astype(float)
    images += 24 * draws.normal(0, "texture", images.shape).numpy()
    images = images.clip(0, 255).round().astype(np.uint8)
    images[:, :4, :4], images[:, :4, -4:], images[:, -4:, :4] = 0, 255, 128
    return images
