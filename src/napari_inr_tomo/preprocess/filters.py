"""Smoothing and shapes of batches of images, (tilt, y, x); for a batch see `arrays`."""

from __future__ import annotations

from functools import lru_cache
from math import isqrt

import numpy as np

from napari_inr_tomo.preprocess.arrays import Batch, beside, copied, zeros
from napari_inr_tomo.types import FloatArray

_BLOCK = 16
_PANEL = 256


def gaussian(batch: Batch, sigma_px: float) -> Batch:
    """Return the images convolved with a Gaussian; beyond a border is its last pixel.

    The kernel ends at 4 sigma.  Blocks of rows, then of columns, are products with one
    small matrix, which costs less than going from pixel to pixel.
    """
    height, width = batch.shape[1:]
    down, across = zeros(batch, (height, width)), zeros(batch, (height, width))
    for to, source, kernel in _blocks(height, sigma_px):
        for part in _panels(batch, width):
            down[:, to, part] = beside(kernel, batch) @ batch[:, source, part]
    for to, source, kernel in _blocks(width, sigma_px):
        for part in _panels(batch, height):
            across[:, part, to] = down[:, part, source] @ beside(kernel.T, batch)
    return across


def _panels(batch: Batch, length: int) -> list[slice]:
    """Return what is multiplied at a time: little of an array, all of a tensor."""
    step = _PANEL if isinstance(batch, np.ndarray) else length
    return [slice(n, n + step) for n in range(0, length, step)]


@lru_cache(maxsize=16)
def _blocks(length: int, sigma_px: float) -> list[tuple[slice, slice, FloatArray]]:
    """Return for each block of pixels: where it is, what it sees, and the matrix."""
    reach = int(4 * sigma_px + 0.5)
    offsets = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 * (offsets / sigma_px) ** 2)
    weights /= weights.sum()
    found = []
    for start in range(0, length, _BLOCK):
        stop = min(start + _BLOCK, length)
        first, last = max(start - reach, 0), min(stop + reach, length)
        rows = np.arange(start, stop)[:, None]
        kernel = np.zeros((stop - start, last - first))
        sources = np.clip(rows + offsets, 0, length - 1) - first
        np.add.at(kernel, (rows - start, sources), weights)
        found.append((slice(start, stop), slice(first, last), kernel))
    return found


def block_sums(batch: Batch, factor: int) -> Batch:
    """Return the sums over blocks of ``factor`` pixels a side, the last smaller."""
    height, width = (-(-n // factor) for n in batch.shape[1:])
    rows = zeros(batch, (height, batch.shape[2]))
    total = zeros(batch, (height, width))
    for first in range(factor):
        part = batch[:, first::factor]
        rows[:, : part.shape[1]] += part
    for first in range(factor):
        part = rows[:, :, first::factor]
        total[:, :, : part.shape[2]] += part
    return total


def opened(marked: Batch) -> Batch:
    """Return what is covered by blocks of 2 x 2 True pixels within the images."""
    pairs = marked[:, 1:] & marked[:, :-1]
    blocks = pairs[:, :, 1:] & pairs[:, :, :-1]
    kept = zeros(marked, marked.shape[1:])
    kept[:, 1:, 1:] |= blocks
    kept[:, 1:, :-1] |= blocks
    kept[:, :-1, 1:] |= blocks
    kept[:, :-1, :-1] |= blocks
    return kept


def dilated(marked: Batch, radius_px: int) -> Batch:
    """Return all pixels whose distance from a True one is at most a radius.

    A disc is one run of pixels for each of its rows: the images widened by the half
    length of the run, which grows towards the middle row, and moved to that row.
    """
    height = marked.shape[1]
    wide, grown, reach = copied(marked), zeros(marked, marked.shape[1:]), 0
    for up in range(radius_px, -1, -1):
        half = isqrt(radius_px**2 - up**2)
        while reach < half:
            step = min(half - reach, reach + 1)  # none jumps over a border
            wider = copied(wide)
            wider[:, :, step:] |= wide[:, :, :-step]
            wider[:, :, :-step] |= wide[:, :, step:]
            wide, reach = wider, reach + step
        if up < height:
            grown[:, up:] |= wide[:, : height - up]
            grown[:, : height - up] |= wide[:, up:]
    return grown
