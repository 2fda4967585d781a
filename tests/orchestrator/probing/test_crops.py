import numpy as np
import pytest
import torch

from augment import draws
from augment.pipeline import Pipeline
from augment.views import Batch, ViewSpec
from orchestrator.data.images import ImageSet
from orchestrator.probing.crops import RECIPE, Schedule, descend
from tests.orchestrator.evaluate.protocols.encoders import keeping, mean_colour


@pytest.mark.parametrize(("epochs", "milestones"), [(100, [60, 80]), (20, [12, 16]), (5, [3, 4]), (1, [1, 1])])
def test_rates_drop_where_the_references_do(epochs, milestones):
    assert Schedule(epochs, 256, 0.1, 0).milestones == milestones


class Recorder:
    """Logits that do not depend on the images, and remembers what it was shown."""

    def __init__(self):
        self.weight = torch.zeros(2, requires_grad=True)
        self.views = []

    def __call__(self, views):
        self.views.append(views.clone())
        return self.weight.expand(len(views), 2)


def test_descent_shows_every_image_once_an_epoch_and_never_alike():
    images = draws.uniform(0, "images", (10, 12, 12, 3)).mul(255).byte().numpy()
    recorder = Recorder()
    optimizer = torch.optim.SGD([recorder.weight], lr=1.0)
    schedule = Schedule(epochs=2, batch_size=4, drop=0.5, seed=3)
    encoder = keeping(mean_colour, size=8)
    descend(recorder, optimizer, ImageSet(images, np.arange(10) % 2), encoder, schedule)
    assert [len(views) for views in recorder.views] == [4, 3, 3] * 2
    pipeline = Pipeline(
        {"crop": ViewSpec(("crop",), size=8)}, {"crop": RECIPE}, mean=encoder.mean, std=encoder.std, seed=3
    )
    source = Batch(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255)
    for epoch, views in enumerate((torch.cat(recorder.views[:3]), torch.cat(recorder.views[3:]))):
        expected = pipeline(source, torch.arange(10), epoch)["crop"].images
        torch.testing.assert_close(views, expected[draws.permutation(3, epoch, 10)])
    assert not torch.equal(recorder.views[0], recorder.views[3])
