"""Medians and quantiles of chosen pixels, exact, for every image of a batch.

Nothing is sorted, and arrays and tensors return the very same values.
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
    where,
)
from napari_inr_tomo.types import FloatArray

TO_SIGMA = 1.4826
_SAMPLE = 2048
_TOP = 2**63 - 1
Whole = NDArray[np.intp]
Pair = tuple[FloatArray, FloatArray]


class Ranked(Protocol):
    """The chosen pixels of every image by rank, from 0 for the least."""

    number: Whole
    """(tilt,) how many were chosen."""

    def at(self, rank: Whole) -> Pair:
        """Return (tilt,) the values of a rank (tilt,), and of the next or the last.

        Where nothing was chosen the values mean nothing.
        """

    def middle(self, below: FloatArray | None = None) -> tuple[Whole, FloatArray]:
        """Return (tilt,) how many there are and their median.

        below: (tilt,) only of what is less.  Where there are none, 0.
        """


def ranked(batch: Batch, among: Batch | None) -> Ranked:
    """Return the True pixels of the images of a batch, or all pixels, by rank."""
    if isinstance(batch, np.ndarray):
        return _RankedArrays(batch, among)
    return _RankedTensors(batch, batch == batch if among is None else among)


def median(batch: Batch, among: Batch) -> FloatArray:
    """Return (tilt,) the median of the True pixels, 0 where there are none."""
    return ranked(batch, among).middle()[1]


def centre_and_spread(batch: Batch, among: Batch) -> tuple[FloatArray, FloatArray]:
    """Return (tilt,) the median, and the robust standard deviation of what is below.

    The latter is 0 where nothing is below the median.
    """
    values = ranked(batch, among)
    _, centre = values.middle()
    lower, level = values.middle(centre)
    return centre, TO_SIGMA * np.where(lower == 0, 0.0, centre - level)


def quantile(batch: Batch, among: Batch | None, share: float) -> FloatArray:
    """Return (tilt,) the quantile of the True pixels, or of all, as numpy does."""
    values = ranked(batch, among)
    place = share * (values.number - 1)
    rank = np.floor(place).astype(np.intp)
    low, high = values.at(rank)
    part, apart = place - rank, high - low
    nearest = np.where(part < 0.5, low + apart * part, high - apart * (1 - part))
    return np.asarray(nearest)


def _median_of(number: Whole, pair: Pair) -> FloatArray:
    low, high = pair
    middle = np.where(number % 2, low, (low + high) / 2)
    return np.where(number == 0, 0.0, middle)


def _middle_rank(number: Whole) -> Whole:
    return (np.maximum(number, 1) - 1) // 2


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

    def at(self, rank: Whole) -> Pair:
        triples = zip(self._values, self._samples, rank, strict=True)
        found = [_pair(values, sample, int(at)) for values, sample, at in triples]
        low, high = np.array(found).reshape(-1, 2).T
        return low, high

    def middle(self, below: FloatArray | None = None) -> tuple[Whole, FloatArray]:
        number = self.number
        if below is not None:
            pairs = zip(self._values, below, strict=True)
            number = np.array([np.count_nonzero(v < most) for v, most in pairs])
        return number, _median_of(number, self.at(_middle_rank(number)))


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
    """torch finds medians, for others the floats are halved as whole numbers."""

    def __init__(self, batch: Batch, among: Batch) -> None:
        self._batch, self._among = batch, among
        self.number = count(among)

    def at(self, rank: Whole) -> Pair:
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
        return self._with_next(_ordered(high).view(torch.float64), rank, self._among)

    def middle(self, below: FloatArray | None = None) -> tuple[Whole, FloatArray]:
        chosen, number = self._among, self.number
        if below is not None:
            chosen = chosen & (self._batch < per_tilt(below, self._batch))
            number = count(chosen)
        values = where(chosen, self._batch, np.nan).flatten(1)
        lower = values.nanmedian(1).values[:, None, None]
        pair = self._with_next(lower, _middle_rank(number), chosen)
        return number, _median_of(number, pair)

    def _with_next(self, value: Batch, rank: Whole, among: Batch) -> Pair:
        """Return the values of a rank, and of the next or the last."""
        up_to = count(among & (self._batch <= value))
        above = where(among & (self._batch > value), self._batch, np.inf)
        low = to_numpy(value.flatten())
        high = to_numpy(above.amin(EACH))
        same = (up_to > rank + 1) | np.isinf(high)
        return low, np.where(same, low, high)


def _ordered(bits: Batch) -> Batch:
    """Return the bits of float64 as whole numbers of the same order, and back."""
    return bits ^ ((bits >> 63) & _TOP)
