import pytest
import torch
from torch import Tensor

from methods.parts.gather import average, gather, part, rank, world_size
from tests.ranks import on_ranks

ROWS = torch.arange(24.0).view(6, 2, 2)  # a batch that all ranks know


def weights(of: int) -> Tensor:
    """What a rank's loss makes of the rows; another for each."""
    return (ROWS + 1).sin() * (of + 1)


def exchanged() -> dict[str, Tensor]:
    """What one rank finds of the batch."""
    own = part(ROWS).clone().requires_grad_()
    rows = gather(own)
    (rows * weights(rank())).sum().backward()
    found = {"rank": torch.tensor([rank(), world_size()]), "rows": rows.detach(), "gradient": own.grad}
    whole_numbers = gather(torch.tensor([rank() * 2, rank() * 2 + 1]))
    constant = average(own)
    assert not constant.requires_grad
    return found | {"whole numbers": whole_numbers, "average": constant, "own": own.detach()}


@pytest.mark.parametrize("count", [2, 3])
def test_gather_gives_the_batch_and_sends_back_what_it_means_to_every_loss(count, tmp_path):
    found = on_ranks(count, tmp_path / "ranks", exchanged)
    meaning = sum(weights(of) for of in range(count))
    for of, one in enumerate(found):
        assert one["rank"].tolist() == [of, count]
        assert torch.equal(one["rows"], ROWS)
        assert torch.equal(one["whole numbers"], torch.arange(2 * count))
        torch.testing.assert_close(one["gradient"], meaning.chunk(count)[of])
        torch.testing.assert_close(one["average"], torch.stack(ROWS.chunk(count)).mean(0))
    assert torch.equal(torch.cat([one["own"] for one in found]), ROWS)


def test_one_rank_has_everything_and_sends_nothing():
    assert (rank(), world_size()) == (0, 1)
    for function in (gather, average):
        assert function(ROWS) is ROWS
    assert torch.equal(part(ROWS), ROWS)
