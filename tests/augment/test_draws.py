import math

import pytest
import torch
from scipy import stats

from augment import draws
from tests.recorded import record

ONES = 0xFFFFFFFF
# Random123, kat_vectors: "philox4x32 10".
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((ONES, ONES, ONES, ONES), (ONES, ONES), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN)
def test_philox_gives_the_published_answers(counter, key, words):
    assert tuple(draws.philox(counter, key).tolist()) == words
    batched = draws.philox([torch.tensor([word, word]) for word in counter], key)
    assert [tuple(row) for row in batched.tolist()] == [words, words]


def philox_in_python(counter, key):
    """The paper's algorithm in unbounded integers."""
    (c0, c1, c2, c3), (k0, k1) = counter, key
    for _ in range(10):
        even, odd = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (odd >> 32) ^ c1 ^ k0, odd % 2**32, (even >> 32) ^ c3 ^ k1, even % 2**32
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return [c0, c1, c2, c3]


def test_uniforms_are_the_upper_bits_of_the_addressed_words():
    seed, epoch, row, stream = 0x123456789ABCDEF0, 7, 49_999, draws.stream("view/crop")
    key = seed % 2**32, seed >> 32
    words = [word for block in range(2) for word in philox_in_python((row, epoch, stream, block), key)]
    drawn = draws.uniforms(seed, epoch, torch.tensor([row]), [stream], 6)
    assert drawn.shape == (1, 1, 6)
    assert drawn[0, 0].tolist() == [(word >> 8) / 2**24 for word in words[:6]]


def test_uniforms_do_not_depend_on_the_rest_of_the_batch():
    rows = torch.arange(1000)
    whole = draws.uniforms(3, 1, rows, [5, 6], 7)
    shuffled = torch.tensor([999, 0, 17, 500])
    assert torch.equal(draws.uniforms(3, 1, shuffled, [5, 6], 7), whole[:, shuffled])
    assert torch.equal(draws.uniforms(3, 1, rows[41:42], [5, 6], 7), whole[:, 41:42])


def test_uniforms_of_a_stream_do_not_depend_on_other_streams_or_slots():
    rows = torch.arange(50)
    alone = draws.uniforms(3, 1, rows, [5], 3)[0]
    assert torch.equal(draws.uniforms(3, 1, rows, [9, 5, 1], 3)[1], alone)
    assert torch.equal(draws.uniforms(3, 1, rows, [5], 22)[0, :, :3], alone)
    mixed = draws.uniform_slices(3, 1, rows, [(9, 22), (5, 3), (1, 1)])
    assert [piece.shape for piece in mixed] == [(50, 22), (50, 3), (50, 1)]
    assert torch.equal(mixed[1], alone)


@pytest.mark.parametrize("change", [{"seed": 4}, {"seed": 3 + 2**32}, {"epoch": 2}, {"streams": [6]}, {"row": 1}])
def test_uniforms_change_with_every_part_of_the_address(change):
    address = {"seed": 3, "epoch": 1, "row": 0, "streams": [5]} | change
    row = torch.tensor([address.pop("row")])
    drawn = draws.uniforms(rows=row, slots=4, **address)
    assert not torch.isin(drawn, draws.uniforms(3, 1, torch.tensor([0]), [5], 4)).any()


def test_uniforms_are_uniform_and_uncorrelated():
    drawn = draws.uniforms(0, 0, torch.arange(20_000), [1, 2], 6).permute(1, 0, 2).flatten(1).double()
    assert drawn.min() >= 0
    assert drawn.max() < 1
    for column in drawn.T:
        assert stats.kstest(column.numpy(), "uniform").pvalue > 1e-4
    assert (torch.corrcoef(drawn.T) - torch.eye(12)).abs().max() < 5 / math.sqrt(20_000)


@pytest.mark.gpu
def test_uniforms_on_gpu_equal_cpu_bitwise():
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    rows = torch.arange(10_000)
    ours = draws.uniforms(2**64 - 1, 3, rows.cuda(), [draws.stream("a"), ONES], 22)
    assert torch.equal(ours.cpu(), draws.uniforms(2**64 - 1, 3, rows, [draws.stream("a"), ONES], 22))
    order = draws.permutation(2**64 - 1, 3, 10_000, rows.cuda().device)
    assert torch.equal(order.cpu(), draws.permutation(2**64 - 1, 3, 10_000))


def test_stream_is_stable_across_versions():
    assert draws.stream("online_1/crop") == 0x959AB856


def test_permutation_orders_every_row_once_and_anew_each_epoch():
    first, second = draws.permutation(3, 0, 1000), draws.permutation(3, 1, 1000)
    assert torch.equal(first.sort().values, torch.arange(1000))
    assert torch.equal(draws.permutation(3, 0, 1000), first)
    assert (first == second).sum() < 10
    assert draws.permutation(3, 0, 0).shape == (0,)


def test_permutation_may_be_made_on_the_device():
    epoch, device = torch.tensor(2, device="meta"), torch.device("meta")
    assert record(
        lambda: draws.permutation(3, epoch, 50, device)
    ).result.is_meta  # and the host's memory has no part in it
    assert torch.equal(draws.permutation(3, torch.tensor(2), 50, torch.device("cpu")), draws.permutation(3, 2, 50))


def test_permutation_has_no_favoured_place():
    places = torch.stack([draws.permutation(5, epoch, 6).argsort() for epoch in range(1500)])
    for row in range(6):
        assert stats.chisquare(torch.bincount(places[:, row], minlength=6).numpy()).pvalue > 1e-4


def test_normal_is_standard_normal():
    drawn = draws.normal(1, "encoder.conv1.weight", (300, 333)).double()
    assert drawn.shape == (300, 333)
    assert stats.kstest(drawn.flatten().numpy(), "norm").pvalue > 1e-3
    assert abs(torch.corrcoef(drawn.flatten()[:99_000].reshape(2, -1))[0, 1]) < 0.02


def test_normal_pairs_of_one_block_are_uncorrelated():
    drawn = draws.normal(1, "weight", (100_000, 4)).double()
    assert (torch.corrcoef(drawn.T) - torch.eye(4)).abs().max() < 5 / math.sqrt(100_000)


def test_named_draws_depend_on_the_name_and_seed_only():
    assert torch.equal(draws.normal(1, "a", (7,)), draws.normal(1, "a", (70_000, 5)).flatten()[:7])
    long = draws.uniform(1, "a", (300_000,))
    assert torch.equal(draws.uniform(1, "a", (299_999,)), long[:-1])
    assert long.unique().numel() > 290_000  # chunks do not repeat one another
    for other in (draws.normal(2, "a", (7,)), draws.normal(1, "b", (7,))):
        assert not torch.isin(other, draws.normal(1, "a", (7,))).any()
    assert stats.kstest(long.numpy(), "uniform").pvalue > 1e-3
    assert draws.uniform(1, "a", ()).shape == ()
    assert draws.normal(1, "a", (0, 3)).shape == (0, 3)


def test_integer_is_a_32_bit_seed_of_its_names():
    seeds = {draws.derive_seed(seed, "sampler", trial) for seed in range(20) for trial in range(20)}
    assert len(seeds) == 400
    assert all(0 <= seed < 2**32 for seed in seeds)
    assert draws.derive_seed(3, "sampler", 4) == draws.derive_seed(3, "sampler", 4)


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_seed_out_of_range_is_refused_with_its_law(seed):
    with pytest.raises(ValueError, match=r"0 <= seed < 2\^64 must hold, got seed="):
        draws.permutation(seed, 0, 3)
