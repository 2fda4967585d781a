"""The only source of random numbers: counter-based draws (Philox 4x32-10), addressed, never advanced.

A draw is a pure function of its address, so there is no state to save, and neither the place of a sample in a batch,
nor the number of workers, nor an op added elsewhere can change it. An address is (seed, epoch, row, stream, slot).
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from augment.constants import constant

# Pass over the data, in [0, 2^32); a tensor, so that one graph serves all passes, is on the device of the rows.
Epoch = int | Int64[Tensor, ""]

_MASK = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
_WORDS = 4  # 32-bit words that one Philox block gives
_CHUNK = 1 << 16  # blocks drawn at once for weights: small enough to stay in the processor's cache


def philox(counter: Sequence[Tensor | int], key: tuple[int, int]) -> Int64[Tensor, "... 4"]:
    """Four 32-bit words, uniform and independent, for each 128-bit counter.

    Args:
        counter: four 32-bit words, each an int or an int64 tensor; tensors broadcast against one another.
        key: two 32-bit words.

    Returns:
        Four words in [0, 2^32) along a new last dimension.

    Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011), section 3.3. Torch has no unsigned
        64-bit product, but int64 wraps modulo 2^64, so the low word is right, and so is the high one without its sign.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(_ROUNDS):
        even, odd = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = ((odd >> 32) & _MASK) ^ c1 ^ k0, odd & _MASK, ((even >> 32) & _MASK) ^ c3 ^ k1, even & _MASK
        k0, k1 = (k0 + _WEYL[0]) & _MASK, (k1 + _WEYL[1]) & _MASK
    return torch.stack(torch.broadcast_tensors(*(torch.as_tensor(word) for word in (c0, c1, c2, c3))), dim=-1)


@lru_cache(maxsize=4096)
def stream(name: str) -> int:
    """The 32-bit number of a named stream, the same on every machine and in every version of Python."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=4).digest(), "little")


def uniforms(
    seed: int, epoch: Epoch, rows: Int64[Tensor, "B"], streams: Sequence[int], slots: int
) -> Float32[Tensor, "S B slots"]:
    """Uniform numbers for samples of a data set, on the device of `rows`.

    Args:
        seed: of the run, in [0, 2^64).
        epoch: pass over the data, in [0, 2^32).
        rows: place of each sample in the data set, in [0, 2^32); its place in the batch does not matter.
        streams: numbers from `stream`, one per use of randomness.
        slots: how many numbers each stream gives per sample.

    Returns:
        Numbers in [0, 1), multiples of 2^-24, bitwise equal on every device.

    Raises:
        ValueError: if the seed is out of range.
    """
    return torch.stack(uniform_slices(seed, epoch, rows, [(number, slots) for number in streams]))


def uniform_slices(
    seed: int, epoch: Epoch, rows: Int64[Tensor, "B"], requests: Sequence[tuple[int, int]]
) -> list[Float32[Tensor, "B _"]]:
    """`uniforms` for streams that need different numbers of slots, in one draw.

    Args:
        seed: of the run, in [0, 2^64).
        epoch: pass over the data, in [0, 2^32).
        rows: place of each sample in the data set, in [0, 2^32).
        requests: (stream, slots) pairs.

    Returns:
        One (B, slots) tensor per request; each equals what `uniforms` gives for that stream alone.

    Raises:
        ValueError: if the seed is out of range.
    """
    blocks = [(number, block) for number, slots in requests for block in range(-(-slots // _WORDS))]
    numbers, places = (constant([block[part] for block in blocks], rows) for part in (0, 1))
    drawn = _unit_interval(philox((rows[:, None], epoch, numbers, places), _key(seed))).flatten(1)
    slices, start = [], 0
    for _, slots in requests:
        slices.append(drawn[:, start : start + slots])
        start += -(-slots // _WORDS) * _WORDS
    return slices


def permutation(seed: int, epoch: Epoch, n: int, device: torch.device | None = None) -> Int64[Tensor, "n"]:
    """The order in which an epoch visits n rows.

    Args:
        seed: of the run, in [0, 2^64).
        epoch: pass over the data, in [0, 2^32).
        n: number of rows.
        device: where to make it; it is the same order everywhere.

    Returns:
        The numbers 0 to n - 1, shuffled: the stable argsort of one 64-bit word per row, so that no tie depends on the
        machine.

    Raises:
        ValueError: if the seed is out of range.
    """
    high, low, _, _ = philox((torch.arange(n, device=device), epoch, stream("order"), 0), _key(seed)).unbind(-1)
    return torch.argsort((high << 32) | low, stable=True)


def uniform(seed: int, name: str, shape: Sequence[int]) -> Float32[Tensor, "..."]:
    """Named uniform numbers in [0, 1) on CPU, for data sets and initial weights.

    Args:
        seed: of the run, in [0, 2^64).
        name: what the numbers are for; another name gives independent ones.
        shape: of the result; the first numbers of a longer result are those of a shorter one.

    Raises:
        ValueError: if the seed is out of range.
    """
    return _named(_unit_interval, seed, name, shape)


def normal(seed: int, name: str, shape: Sequence[int]) -> Float32[Tensor, "..."]:
    """Named standard normal numbers on CPU, for initial weights.

    Args:
        seed: of the run, in [0, 2^64).
        name: what the numbers are for; another name gives independent ones.
        shape: of the result; the first numbers of a longer result are those of a shorter one.

    Returns:
        Numbers with mean 0 and deviation 1, computed in float64: rounding hides how processors' logarithms differ.

    Raises:
        ValueError: if the seed is out of range.

    Source: Box and Muller, "A note on the generation of random normal deviates" (1958); uniforms are centred in their
        32-bit cell, so none is 0 and the largest deviate is 6.8.
    """
    return _named(_standard_normal, seed, name, shape)


def derive_seed(seed: int, *names: str | int) -> int:
    """A 32-bit seed for a library with a generator of its own, such as Optuna's samplers.

    Args:
        seed: of the run, in [0, 2^64).
        names: what the seed is for, such as ("sampler", trial number).

    Raises:
        ValueError: if the seed is out of range.
    """
    return int(philox((0, 0, stream("/".join(["integer", *map(str, names)])), 0), _key(seed))[0])


def _key(seed: int) -> tuple[int, int]:
    if not 0 <= seed < 2**64:
        raise ValueError(f"0 <= seed < 2^64 must hold, got seed={seed}")
    return seed & _MASK, seed >> 32


def _named(transform: Callable[[Tensor], Tensor], seed: int, name: str, shape: Sequence[int]) -> Float32[Tensor, "..."]:
    """As many words of the stream `name` as the shape holds, transformed chunk by chunk."""
    key, number, count = _key(seed), stream(f"named/{name}"), math.prod(shape)
    total = -(-count // _WORDS)
    result = torch.empty(total, _WORDS)
    for start in range(0, total, _CHUNK):
        index = torch.arange(start, min(start + _CHUNK, total))
        result[start : start + _CHUNK] = transform(philox((index & _MASK, index >> 32, number, 0), key))
    return result.flatten()[:count].reshape(tuple(shape))


def _unit_interval(words: Int64[Tensor, "..."]) -> Float32[Tensor, "..."]:
    """The upper 24 bits as a fraction: the most a float32 holds exactly."""
    return (words >> 8).float() * 2.0**-24


def _standard_normal(words: Int64[Tensor, "blocks 4"]) -> Float32[Tensor, "blocks 4"]:
    """Box and Muller's transform of two pairs of words, each in the middle of its cell."""
    radius, angle = ((words.double() + 0.5) * 2.0**-32).unflatten(-1, (2, 2)).unbind(-1)
    radius, angle = (-2 * radius.log()).sqrt(), 2 * math.pi * angle
    return (radius[..., None] * torch.stack((angle.cos(), angle.sin()), dim=-1)).flatten(-2).float()
