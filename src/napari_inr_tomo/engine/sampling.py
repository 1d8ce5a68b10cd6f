"""Which pixels make up a step: a function of (seed, epoch, step), never of the rank.

Nothing is stored: the order of an epoch is a Feistel permutation of the pixel numbers,
and whether a pixel is held out is a hash of its number, so a stack of any size needs
no index arrays and every number of ranks sees the same steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor

_MASK31 = (1 << 31) - 1
AT_ONCE, GPU_AT_ONCE = 1 << 16, 1 << 18
"""Pixels drawn together: of a few hundred, most of the time is the calls themselves.
A GPU is waited for only then."""


Integers = TypeVar("Integers", Tensor, int)


def mix(values: Integers, key: int) -> Integers:
    """Return well-mixed 31-bit integers, a fixed function of ``values`` and ``key``."""
    x = (values + ((key * 0x9E3779B1) & _MASK31)) & _MASK31
    for multiplier in (0x2C1B3C6D, 0x297A2D39, 0x165667B1):
        x = ((x ^ (x >> 15)) * multiplier) & _MASK31
        x = x ^ (x >> 13)
    return x


def permuted(index: Tensor, count: int, key: int) -> Tensor:
    """Return where a permutation of 0 .. count-1, chosen by ``key``, sends ``index``.

    A six-round Feistel network over the next even number of bits; values that fall
    outside walk on until they are inside, so it is exactly one-to-one.
    """
    half = max(1, ((max(count - 1, 1)).bit_length() + 1) // 2)
    low = (1 << half) - 1

    def walk(value: Tensor) -> Tensor:
        left, right = value >> half, value & low
        for round_ in range(6):
            swapped = left ^ (mix(right, key * 7 + round_ + 1) & low)
            left, right = right, swapped
        return (left << half) | right

    value = walk(index)
    outside = value >= count
    while bool(outside.any()):
        value = torch.where(outside, walk(value), value)
        outside = value >= count
    return value


@dataclass(frozen=True)
class PixelSampler:
    """Batches of pixel numbers: flat indices into the (tilt, y, x) stack.

    count: pixels in the stack; batch: pixels a step takes over all ranks;
    holdout: share of pixels kept out of training.
    """

    count: int
    batch: int
    seed: int
    holdout: float = 0.0
    device: torch.device = torch.device("cpu")
    _drawn: dict[tuple[int, int], tuple[Tensor, ...]] = field(
        default_factory=dict, repr=False, compare=False
    )

    @property
    def steps(self) -> int:
        """Steps per epoch."""
        return -(-self.count // self.batch)

    def held_out(self, pixels: Tensor) -> Tensor:
        """Return which pixels are held out, always the same ones."""
        if self.holdout == 0:
            return torch.zeros_like(pixels, dtype=torch.bool)
        return mix(pixels, self.seed + 101) < self.holdout * _MASK31

    def step(self, epoch: int, step: int) -> Tensor:
        """Return the training pixels of one step, in a fixed order."""
        together = max(1, self._at_once // self.batch)
        key = epoch, step // together
        if key not in self._drawn:
            self._drawn.clear()
            self._drawn[key] = self._steps(epoch, step // together * together, together)
        return self._drawn[key][step % together]

    @property
    def _at_once(self) -> int:
        return GPU_AT_ONCE if self.device.type == "cuda" else AT_ONCE

    def _steps(self, epoch: int, first: int, steps: int) -> tuple[Tensor, ...]:
        """Return the training pixels of some steps, fewer at the end of an epoch."""
        start = min(first * self.batch, self.count)
        stop = min(start + steps * self.batch, self.count)
        index = torch.arange(start, stop, device=self.device)
        pixels = permuted(index, self.count, self.seed * 1_000_003 + epoch)
        if self.holdout == 0:
            return torch.split(pixels, self.batch)
        used = ~self.held_out(pixels)
        counts = [part.sum() for part in torch.split(used, self.batch)]
        return torch.split(pixels[used], torch.stack(counts).tolist())

    def holdout_batches(self, limit: int) -> Iterator[Tensor]:
        """Yield at most ``limit`` held-out pixels, the same in every epoch."""
        found = 0
        for start in range(0, self.count, self.batch):
            stop = min(start + self.batch, self.count)
            index = torch.arange(start, stop, device=self.device)
            pixels = permuted(index, self.count, self.seed * 1_000_003 - 1)
            pixels = pixels[self.held_out(pixels)][: limit - found]
            found += len(pixels)
            if len(pixels):
                yield pixels
            if found >= limit:
                return


def generator(device: torch.device, *key: int) -> torch.Generator:
    """Return a random generator whose stream depends on ``key`` alone."""
    seed = 0
    for part in key:
        seed = mix(seed ^ (part & _MASK31), part % 9973 + 1)
    return torch.Generator(device).manual_seed(seed)
