"""A linear classifier trained by SGD on random crops, the encoder frozen: the probe of MoCo's and of MSR's tables.

Its rate is fixed, so it scores features of an unusual scale far below what they know: compare it with itself only.
"""

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn import functional
from torch.optim import SGD

from augment import config, draws
from orchestrator.data.images import ImageSet
from orchestrator.probing.crops import Schedule, descend
from orchestrator.probing.data import EvaluationData
from orchestrator.probing.features import labels_of
from orchestrator.probing.frozen import FrozenEncoder
from orchestrator.probing.score import Score
from orchestrator.probing.variants import over_variants

PROTOCOL = "linear_sgd/1"

# The protocol's constants; another value is another protocol and gets another number.
RATE = 30.0
MOMENTUM = 0.9
DROP = 0.1
BATCH_SIZE = 256
INITIAL_SPREAD = 0.01
SEED = 20191113


class Config(config.Config):
    """Whose probe, and how long.

    Args:
        recipe: `moco` or `msr`, which follows the gradient with Nesterov's momentum.
        epochs: passes over the labelled images; the rate drops after 60 % and 80 % of them, as the references' does
            after 60 and 80 of 100.
    """

    recipe: Literal["moco", "msr"] = "moco"
    epochs: int = Field(100, ge=1)


def measure(encoder: FrozenEncoder, data: EvaluationData, config: Config) -> list[Score]:
    """Accuracy on each test variant of the classifier trained on `bank`, after the last epoch, in percent.

    Raises:
        ValueError: if a split has no labels.

    Source: arXiv 1911.05722, section 4.1, and its code; arXiv 2206.01999, section 4.1, and its code. Both: rate 30,
        batch 256, momentum 0.9, no weight decay, weights from N(0, 0.01^2), features as they are, crops of 8 % to all
        of an image's area and flips. Both report the best epoch on the test images; here it is the last. MSR's code
        lets the encoder's batch norms follow the probe's batches, and tests with the statistics that these left; here
        they stay as they are, as MoCo's code demands. Test images are the data set's squares at the encoder's size:
        MoCo's cut the centre out of larger ones, MSR's out of these.
    """
    weight, bias = train(encoder, data.images("bank"), config)
    note = f"{config.recipe}, {config.epochs} epochs, last one, rate {RATE:g}, encoder in eval mode"
    return over_variants(data, lambda features: functional.linear(features, weight, bias).argmax(dim=1), note)


def train(encoder: FrozenEncoder, images: ImageSet, config: Config) -> tuple[Float[Tensor, "C D"], Float[Tensor, "C"]]:
    """The classifier's weights and biases, on CPU.

    Raises:
        ValueError: if the images have no labels.
    """
    num_classes, num_features = int(labels_of(images).max()) + 1, encoder.features(images.images[:1]).shape[1]
    drawn = draws.normal(SEED, "linear_sgd", (num_classes, num_features))
    weight = (INITIAL_SPREAD * drawn).to(encoder.device).requires_grad_()
    bias = torch.zeros(num_classes, device=encoder.device, requires_grad=True)

    def logits(views: Float[Tensor, "B 3 S S"]) -> Float[Tensor, "B C"]:
        with torch.no_grad():
            features = encoder.network(views).float()
        return functional.linear(features, weight, bias)

    optimizer = SGD([weight, bias], lr=RATE, momentum=MOMENTUM, nesterov=config.recipe == "msr")
    descend(logits, optimizer, images, encoder, Schedule(config.epochs, BATCH_SIZE, DROP, SEED))
    return weight.detach().cpu(), bias.detach().cpu()
