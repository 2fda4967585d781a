"""Images fetched from the host's memory are the ones that would lie on the device."""

import pytest
import torch

from augment import separation
from orchestrator.core import hardware
from orchestrator.data.foregrounds import separate
from orchestrator.data.images import ImageSet
from orchestrator.data.on_device import DeviceImages
from orchestrator.data.on_host import HostImages
from orchestrator.training import assembly
from tests.augment.banks import blobs, noise
from tests.orchestrator.tiny_run import tiny_run

CPU = torch.device("cpu")
COUNT, BATCH = 40, 8


def pair(*needs: str) -> tuple[DeviceImages, HostImages]:
    """Both, of the same images."""
    images = noise(COUNT).permute(0, 2, 3, 1).contiguous().numpy()
    images.flags.writeable = False  # as in an object store
    source = ImageSet(images, labels=torch.arange(COUNT).numpy(), masks=blobs(COUNT)[:, 0].numpy())
    how = {"needs": needs, "seed": 1}
    foregrounds = separate(source, how=separation.Config(), rows=torch.arange(COUNT), **how) if needs else None
    return DeviceImages(source, CPU, foregrounds=foregrounds, **how), HostImages(
        source, CPU, foregrounds=foregrounds, **how
    )


@pytest.mark.parametrize("needs", [(), ("masks",)])
def test_batches_are_the_same_announced_or_not(needs: tuple[str, ...]) -> None:
    there, fetched = pair(*needs)
    assert torch.equal(there.order(3), fetched.order(3))
    batches = fetched.order(3).split(BATCH)
    fetched.read_ahead(batches)
    unannounced = torch.tensor([5, 5, 1])
    for rows in (*batches[:2], unannounced, *batches[2:], unannounced):
        expected, made = there.batch(rows), fetched.batch(rows)
        assert torch.equal(expected.images, made.images)
        if needs:
            assert expected.masks is not None
            assert made.masks is not None
            assert torch.equal(expected.masks, made.masks)


def test_batches_announced_later_replace_those_announced_before(monkeypatch: pytest.MonkeyPatch) -> None:
    there, fetched = pair()
    fetched.read_ahead(fetched.order(1).split(BATCH))
    again = fetched.order(2).split(BATCH)
    fetched.read_ahead(again)
    gathered = []
    gather = fetched._gather
    monkeypatch.setattr(fetched, "_gather", lambda *given: gathered.append(given) or gather(*given))
    for rows in again:
        assert torch.equal(there.batch(rows).images, fetched.batch(rows).images)
    assert len(gathered) == len(again) - 3  # those begun before were not gathered once more


def test_a_training_on_them_has_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    run = tiny_run()
    data = assembly.load_data(run)
    states = []
    for room in (True, False):
        monkeypatch.setattr(hardware, "has_room", lambda device, images, room=room: room)
        training = assembly.training(run, data, CPU)
        assert isinstance(training.images, DeviceImages if room else HostImages)
        for rows in training.batches(1):
            training.train_step(rows, 1)
        states.append(training.objective.state_dict())
    assert all(torch.equal(states[0][name], value) for name, value in states[1].items())
