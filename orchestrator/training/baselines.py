"""What a trained encoder has to beat, by the run's own evaluations: an untrained encoder, and none at all."""

from orchestrator.config.run import RunConfig
from orchestrator.core import hardware
from orchestrator.probing.features import encoder_features, pixel_features
from orchestrator.training import assembly
from orchestrator.training.assembly import Data

RANDOM = "random encoder"
PIXELS = "raw pixels"


def baselines(run: RunConfig, data: Data) -> dict[str, dict[str, float]]:
    """Every metric, with its standard error, of the run's encoder before its first step and of the pixels themselves.

    Args:
        run: of which the encoder, the seed, the threads and the evaluations matter.
        data: its images.

    Raises:
        ValueError: if an evaluation needs labels and there are none.
    """
    device = hardware.device()
    with hardware.arithmetic(run.training.threads, device):
        encoder = assembly.objective(run).encoder.to(device)
        encodes = {
            RANDOM: encoder_features(encoder, data.card.mean, data.card.std),
            PIXELS: pixel_features(data.card.mean, data.card.std),
        }
        scores: dict[str, dict[str, float]] = {name: {} for name in encodes}
        for evaluation in assembly.evaluations(run):
            for name, encode in encodes.items():
                scores[name] |= evaluation(encode, data.splits)
    return scores
