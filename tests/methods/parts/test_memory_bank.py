import pytest
import torch

from augment import draws
from methods.parts.initial import init_weights
from methods.parts.memory_bank import MemoryBank
from tests.methods import small


def rows(name: str, count: int) -> torch.Tensor:
    return draws.normal(1, name, (count, 3))


@pytest.mark.parametrize("batch", [1, 2, 3, 5, 7, 8, 13])
def test_queue_holds_the_newest_rows_around_its_end(batch):
    """Batches that divide the size, that do not, and one that is larger than it."""
    queue, size, written = MemoryBank(7, 3), 7, []
    queue.reset(rows("noise", size))
    oldest = list(queue.rows.clone())
    for k in range(9):
        new = rows(f"batch {k}", batch)
        queue.enqueue(new)
        written += list(new[-size:])
        expected = [*oldest[len(written) :], *written][-size:]
        assert {tuple(row.tolist()) for row in queue.rows} == {tuple(row.tolist()) for row in expected}
        assert queue.written().sum() == min(size, len(written))
        assert int(queue.count) == len(written)


def test_written_marks_the_rows_that_came_from_batches():
    queue = MemoryBank(5, 3)
    queue.reset(rows("noise", 5))
    noise = queue.rows.clone()
    queue.enqueue(rows("batch", 2))
    assert queue.written().tolist() == [True, True, False, False, False]
    assert torch.equal(queue.rows[2:], noise[2:])


def test_state_dict_goes_on_where_it_was():
    one, other = MemoryBank(5, 3), MemoryBank(5, 3)
    one.enqueue(rows("a", 4))
    other.load_state_dict(one.state_dict())
    for queue in (one, other):
        queue.enqueue(rows("b", 3))
    assert torch.equal(one.rows, other.rows)
    assert torch.equal(one.rows[[4, 0, 1]], rows("b", 3))


def test_rows_begin_as_unit_vectors_of_the_seed():
    queues = [small.moco_method(seed).queue.rows for seed in (3, 3, 4)]
    torch.testing.assert_close(queues[0].norm(dim=1), torch.ones(16, dtype=torch.float64), rtol=1e-6, atol=0)
    assert torch.equal(queues[0], queues[1])
    assert not torch.equal(queues[0], queues[2])
    assert queues[0].std(dim=0).min() > 0.2  # in all directions


def test_drawing_again_empties_the_queue():
    method = small.moco_method()
    method.queue.enqueue(torch.ones(4, 6, dtype=torch.float64))
    init_weights(method.float(), 0)
    assert not method.queue.written().any()
