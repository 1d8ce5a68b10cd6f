"""Medians and quantiles of chosen pixels, exact, for every image of a batch.

Nothing is sorted: an array is searched where a sample says that the value must lie, a
tensor by bisection of the numbers there are.  Both return the very same values.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from napari_inr_tomo.preprocess.arrays import (
    EACH,
    Batch,
    count,
    per_tilt,
    to_numpy,
)
from napari_inr_tomo.types import FloatArray

TO_SIGMA = 1.4826
_SAMPLE = 2048
_TOP = 2**63 - 1
Whole = NDArray[np.intp]


class Ranked(Protocol):
    """The chosen pixels of every image by rank, from 0 for the least."""

    number: Whole
    """(tilt,) how many were chosen."""

    def at(self, rank: Whole) -> tuple[FloatArray, FloatArray]:
        """Return (tilt,) the values of a rank (tilt,), and of the next or the last.

        Where nothing was chosen the values mean nothing.
        """

    def below(self, limit: FloatArray) -> Whole:
        """Return (tilt,) how many values are less than a limit (tilt,)."""


def ranked(batch: Batch, among: Batch | None) -> Ranked:
    """Return the True pixels of the images of a batch, or all pixels, by rank."""
    if isinstance(batch, np.ndarray):
        return _RankedArrays(batch, among)
    return _RankedTensors(batch, batch == batch if among is None else among)


def median(batch: Batch, among: Batch) -> FloatArray:
    """Return (tilt,) the median of the True pixels, 0 where there are none."""
    return _middle(ranked(batch, among))


def centre_and_spread(batch: Batch, among: Batch) -> tuple[FloatArray, FloatArray]:
    """Return (tilt,) the median, and the robust standard deviation of what is below.

    The latter is 0 where nothing is below the median.
    """
    values = ranked(batch, among)
    centre = _middle(values)
    lower = values.below(centre)
    low, high = values.at((np.maximum(lower, 1) - 1) // 2)
    low, high = centre - low, centre - high
    spread = np.where(lower % 2, low, (low + high) / 2)
    return centre, TO_SIGMA * np.where(lower == 0, 0.0, spread)


def quantile(batch: Batch, among: Batch | None, share: float) -> FloatArray:
    """Return (tilt,) the quantile of the True pixels, or of all, as numpy does."""
    values = ranked(batch, among)
    place = share * (values.number - 1)
    rank = np.floor(place).astype(np.intp)
    low, high = values.at(rank)
    part, apart = place - rank, high - low
    nearest = np.where(part < 0.5, low + apart * part, high - apart * (1 - part))
    return np.asarray(nearest)


def _middle(values: Ranked) -> FloatArray:
    number = values.number
    low, high = values.at((np.maximum(number, 1) - 1) // 2)
    middle = np.where(number % 2, low, (low + high) / 2)
    return np.where(number == 0, 0.0, middle)


class _RankedArrays:
    """A sample says between which values one lies; only those are partitioned."""

    def __init__(self, batch: Batch, among: Batch | None) -> None:
        if among is None:
            self._values = [image.ravel() for image in batch]
        else:
            pairs = zip(batch, among, strict=True)
            self._values = [image[chosen] for image, chosen in pairs]
        self.number = np.array([len(values) for values in self._values], np.intp)
        self._samples = [np.sort(values[:: _step(values)]) for values in self._values]

    def at(self, rank: Whole) -> tuple[FloatArray, FloatArray]:
        triples = zip(self._values, self._samples, rank, strict=True)
        found = [_pair(values, sample, int(at)) for values, sample, at in triples]
        low, high = np.array(found).reshape(-1, 2).T
        return low, high

    def below(self, limit: FloatArray) -> Whole:
        pairs = zip(self._values, limit, strict=True)
        return np.array([np.count_nonzero(v < most) for v, most in pairs], np.intp)


def _step(values: FloatArray) -> int:
    """Return how far the samples lie apart; odd, so as not to be in step with rows."""
    return len(values) // _SAMPLE | 1 if len(values) > 4 * _SAMPLE else 1


def _pair(values: FloatArray, sample: FloatArray, rank: int) -> tuple[float, float]:
    """Return the value of a rank and the next; where the sample misleads, from all."""
    if len(values) == 0:
        return np.nan, np.nan
    after = min(rank + 1, len(values) - 1)
    if len(sample) == len(values):
        return float(sample[rank]), float(sample[after])
    place, margin = len(sample) * rank / len(values), 2 * len(sample) ** 0.5
    first, last = int(place - margin), int(place + margin) + 2
    low = sample[first] if first > 0 else -np.inf
    high = sample[last] if last < len(sample) else np.inf
    between = values[(values >= low) & (values <= high)]
    before = int(np.count_nonzero(values < low))
    if before > rank or after - before >= len(between):
        between, before = values, 0
    parts = np.partition(between, (rank - before, after - before))
    return float(parts[rank - before]), float(parts[after - before])


class _RankedTensors:
    """Whole numbers in the order of the floats; 64 halvings find that of a rank."""

    def __init__(self, batch: Batch, among: Batch) -> None:
        self._batch, self._among = batch, among
        self.number = count(among)

    def at(self, rank: Whole) -> tuple[FloatArray, FloatArray]:
        import torch

        keys = _ordered(self._batch.contiguous().view(torch.int64))
        keys = torch.where(self._among, keys, _TOP)
        ranks = per_tilt(rank, self._batch)
        low, high = torch.full_like(ranks, -_TOP - 1), torch.full_like(ranks, _TOP)
        for _ in range(64):
            middle = (low & high) + ((low ^ high) >> 1)
            enough = (keys <= middle).sum(EACH, keepdim=True) > ranks
            high = torch.where(enough, middle, high)
            low = torch.where(enough, low, middle + 1)
        up_to = (keys <= high).sum(EACH, keepdim=True)
        above = torch.where(keys > high, keys, _TOP).amin(EACH, keepdim=True)
        same = (up_to > ranks + 1) | (up_to >= per_tilt(self.number, keys))
        pair = (high, torch.where(same, high, above))
        first, second = (_ordered(key).view(torch.float64) for key in pair)
        return to_numpy(first.flatten()), to_numpy(second.flatten())

    def below(self, limit: FloatArray) -> Whole:
        return count(self._among & (self._batch < per_tilt(limit, self._batch)))


def _ordered(bits: Batch) -> Batch:
    """Return the bits of float64 as whole numbers of the same order, and back."""
    return bits ^ ((bits >> 63) & _TOP)
