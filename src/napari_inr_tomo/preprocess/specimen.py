"""Where the specimen is: everything that stands out above a smooth background.

Images, masks and weights are batches, (tilt, y, x), of arrays or tensors: see `arrays`.
Every image is judged by itself; those whose specimen is found are not looked at again.
"""

from __future__ import annotations

import numpy as np

from napari_inr_tomo.preprocess.arrays import (
    Batch,
    count,
    differ,
    doubles,
    extremes,
    histogram,
    per_tilt,
    put,
    repeated,
    taken,
    where,
)
from napari_inr_tomo.preprocess.bernstein import SurfaceFit
from napari_inr_tomo.preprocess.filters import block_sums, dilated, gaussian, opened
from napari_inr_tomo.preprocess.ranks import centre_and_spread, median, quantile
from napari_inr_tomo.types import FloatArray

FLOOR = 1e-3  # share of the range of an image that is never taken for signal
_ROUNDING = 1e-9  # share of the largest value that is not, either
PIXELS_PER_UNKNOWN = 4
SMOOTHING_PX = 1.5
_MASK_PX = 256
_BINS = 256


def find_specimen(
    values: Batch,
    blocked: Batch,
    degree_yx: tuple[int, int],
    threshold: float,
    dilation_px: int,
) -> Batch:
    """Return (tilt, y, x) bool, True on the specimen and where ``blocked``.

    values, blocked: (tilt, y, x).  The search works on block means of at most 256
    pixels a side; the settings are those of `fit_background`.
    """
    height, width = values.shape[1:]
    factor = -(-max(height, width) // _MASK_PX)
    if factor == 1:
        return _specimen(values, blocked, degree_yx, threshold, dilation_px)
    weight = doubles(~blocked)
    total, number = block_sums(values * weight, factor), block_sums(weight, factor)
    small = _specimen(
        total / number.clip(1),
        number == 0,
        degree_yx,
        threshold,
        -(-dilation_px // factor),
    )
    return repeated(small, factor)[:, :height, :width] | blocked


def above_level(values: Batch, blocked: Batch, level: float, dilation_px: int) -> Batch:
    """Return (tilt, y, x) bool: the smoothed image is above a level, or blocked.

    level: intensity; dilation_px: pixels by which what is above is grown.
    """
    return _tidy(smoothed(values, ~blocked) > level, dilation_px) | blocked


def above_otsu(
    values: Batch, blocked: Batch, degree_yx: tuple[int, int], dilation_px: int
) -> Batch:
    """Return (tilt, y, x) bool, True in the brighter of two classes, or blocked.

    The classes are those of Otsu (1979), of the smoothed image above a surface of this
    degree laid under it, so that an uneven background is no class of its own.
    """
    from skimage.filters import threshold_otsu

    free = ~blocked
    smooth = smoothed(values, free)
    height = smooth - lower_envelope(smooth, free, SurfaceFit(values, degree_yx))
    low, high = extremes(height, free)
    limits = np.full(len(low), np.inf)
    uneven = np.flatnonzero(high - low > least_signal(smooth, free))
    found = histogram(taken(height, uneven), taken(free, uneven), _BINS)
    for tilt, (counts, edges) in zip(uneven, found, strict=True):
        limits[tilt] = threshold_otsu(hist=(counts, (edges[1:] + edges[:-1]) / 2))
    return _tidy(height > per_tilt(limits, height), dilation_px) | blocked


def least_signal(values: Batch, among: Batch | None = None) -> FloatArray:
    """Return (tilt,) what is too small to mean anything, by range and rounding.

    values: (tilt, y, x), of which only the True pixels of ``among`` are looked at.
    """
    low, high = extremes(values, among)
    rounding = _ROUNDING * np.maximum(np.abs(low), np.abs(high))
    least = np.maximum(FLOOR * (high - low), rounding)
    return np.maximum(least, np.finfo(float).tiny)


def smoothed(values: Batch, free: Batch) -> Batch:
    """Return the lightly smoothed images; what is not free has the median's value."""
    filled = where(free, values, per_tilt(median(values, free), values))
    return gaussian(filled, SMOOTHING_PX)


def _specimen(
    values: Batch,
    blocked: Batch,
    degree_yx: tuple[int, int],
    threshold: float,
    dilation_px: int,
    rounds: int = 15,
) -> Batch:
    """Return (tilt, y, x) bool, True on the specimen and where blocked.

    The set of background pixels grows from the darkest tenth upwards until it takes in
    all that lies within the threshold of a surface through it, and the degree of the
    surface rises step by step from a constant to the one asked for: a stiff surface
    cannot climb onto the specimen.  Only the spread below the centre counts for the
    threshold, so the specimen does not widen it.
    """
    free = ~blocked
    smooth = smoothed(values, free)
    floor = least_signal(smooth, free)
    residual = smooth - lower_envelope(smooth, free, SurfaceFit(smooth, (0, 0)))
    darkest = quantile(residual, free, 0.1)
    chosen = free & (residual <= per_tilt(darkest, residual))
    for highest in range(max(degree_yx) + 1):
        degree = (min(degree_yx[0], highest), min(degree_yx[1], highest))
        surface = SurfaceFit(smooth, degree)
        tilts = np.arange(len(smooth))
        for _ in range(rounds):
            seen, allowed, now = (taken(part, tilts) for part in (smooth, free, chosen))
            residual = seen - surface(seen, now)
            centre, spread = centre_and_spread(residual, now)
            limit = centre + threshold * np.maximum(spread, floor[tilts])
            bright = residual > per_tilt(limit, residual)
            wanted = allowed & ~_tidy(bright, dilation_px)
            enough = count(wanted) >= PIXELS_PER_UNKNOWN * surface.unknowns
            going = np.flatnonzero(enough & differ(wanted, now))
            tilts = tilts[going]
            if len(tilts) == 0:
                break
            put(chosen, tilts, taken(wanted, going))
    return ~chosen


def lower_envelope(
    smooth: Batch, weight: Batch, surface: SurfaceFit, rounds: int = 10
) -> Batch:
    """Return surfaces under the images: pixels above them count one fiftieth."""
    weight = doubles(weight)
    found = surface.solved(smooth, lambda rows: weight[:, rows])
    for _ in range(rounds):

        def lowered(rows: slice, found: Batch = found) -> Batch:
            above = doubles(smooth[:, rows] > surface.drawn(found, rows))
            return weight[:, rows] * (1 - 0.98 * above)

        found = surface.solved(smooth, lowered)
    return surface.drawn(found)


def _tidy(bright: Batch, dilation_px: int) -> Batch:
    """Drop specks smaller than the smoothing makes by chance, then grow the rest."""
    return dilated(opened(bright), dilation_px)
