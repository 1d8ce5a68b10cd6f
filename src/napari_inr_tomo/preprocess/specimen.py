"""Where the specimen is: everything that stands out above a smooth background."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_inr_tomo.preprocess.bernstein import SurfaceFit
from napari_inr_tomo.types import BoolArray, FloatArray

FLOOR = 1e-3  # share of the range of an image that is never taken for signal
PIXELS_PER_UNKNOWN = 4
SMOOTHING_PX = 1.5
_MASK_PX = 256


def find_specimen(
    values: FloatArray,
    blocked: BoolArray,
    degree_yx: tuple[int, int],
    threshold: float,
    dilation_px: int,
) -> BoolArray:
    """Return (y, x) bool, True on the specimen and where ``blocked``.

    values, blocked: (y, x).  The search works on block means of at most 256 pixels a
    side; the settings are those of `fit_background`.
    """
    factor = -(-max(values.shape) // _MASK_PX)
    if factor == 1:
        return _specimen(values, blocked, degree_yx, threshold, dilation_px)
    pad = [(0, -n % factor) for n in values.shape]
    blocks = [part for n in values.shape for part in (-(-n // factor), factor)]
    weight = np.pad((~blocked).astype(np.float64), pad).reshape(blocks)
    total = (np.pad(values, pad).reshape(blocks) * weight).sum(axis=(1, 3))
    number = weight.sum(axis=(1, 3))
    small = _specimen(
        total / np.maximum(number, 1),
        number == 0,
        degree_yx,
        threshold,
        -(-dilation_px // factor),
    )
    large = small.repeat(factor, axis=0).repeat(factor, axis=1)
    return np.asarray(large[: values.shape[0], : values.shape[1]] | blocked)


def above_level(
    values: FloatArray, blocked: BoolArray, level: float, dilation_px: int
) -> BoolArray:
    """Return (y, x) bool, True where the smoothed image is above a level, or blocked.

    level: intensity; dilation_px: pixels by which what is above is grown.
    """
    return _tidy(smoothed(values, ~blocked) > level, dilation_px) | blocked


def above_otsu(
    values: FloatArray,
    blocked: BoolArray,
    degree_yx: tuple[int, int],
    dilation_px: int,
) -> BoolArray:
    """Return (y, x) bool, True in the brighter of two classes, or blocked.

    The classes are those of Otsu (1979), of the smoothed image above a surface of this
    degree laid under it, so that an uneven background is no class of its own.
    """
    from skimage.filters import threshold_otsu

    free = ~blocked
    smooth = smoothed(values, free)
    surface = SurfaceFit((values.shape[0], values.shape[1]), degree_yx)
    height = smooth - lower_envelope(smooth, free.astype(np.float64), surface)
    if not np.ptp(height[free]) > 0:
        return blocked
    return _tidy(height > threshold_otsu(height[free]), dilation_px) | blocked


def smoothed(values: FloatArray, free: BoolArray) -> FloatArray:
    """Return the lightly smoothed image; what is not free has the median's value."""
    filled = np.where(free, values, np.median(values[free]) if free.any() else 0.0)
    return np.asarray(ndimage.gaussian_filter(filled, SMOOTHING_PX, mode="nearest"))


def _specimen(
    values: FloatArray,
    blocked: BoolArray,
    degree_yx: tuple[int, int],
    threshold: float,
    dilation_px: int,
    rounds: int = 15,
) -> BoolArray:
    """Return (y, x) bool, True on the specimen and where blocked.

    The set of background pixels grows from the darkest tenth upwards until it takes in
    all that lies within the threshold of a surface through it, and the degree of the
    surface rises step by step from a constant to the one asked for: a stiff surface
    cannot climb onto the specimen.  Only the spread below the centre counts for the
    threshold, so the specimen does not widen it.
    """
    free = ~blocked
    smooth = smoothed(values, free)
    floor = FLOOR * float(np.ptp(smooth[free]))
    chosen: BoolArray | None = None
    for highest in range(0, max(degree_yx) + 1):
        degree = (min(degree_yx[0], highest), min(degree_yx[1], highest))
        surface = SurfaceFit((values.shape[0], values.shape[1]), degree)
        if chosen is None:
            below = lower_envelope(smooth, free.astype(np.float64), surface)
            residual = smooth - below
            chosen = free & (residual <= np.quantile(residual[free], 0.1))
        least = PIXELS_PER_UNKNOWN * surface.unknowns
        for _ in range(rounds):
            residual = smooth - surface(smooth, chosen.astype(np.float64))
            centre, spread = centre_and_spread(residual[chosen])
            limit = centre + threshold * max(spread, floor)
            wanted = free & ~_tidy(residual > limit, dilation_px)
            same = np.array_equal(wanted, chosen)
            if same or wanted.sum() < least:
                break
            chosen = wanted
    return blocked if chosen is None else ~chosen


def lower_envelope(
    smooth: FloatArray, weight: FloatArray, surface: SurfaceFit, rounds: int = 10
) -> FloatArray:
    """Return a surface under the image: pixels above it count one fiftieth."""
    below = surface(smooth, weight)
    for _ in range(rounds):
        below = surface(smooth, weight * np.where(smooth > below, 0.02, 1.0))
    return below


def centre_and_spread(residual: NDArray[np.floating]) -> tuple[float, float]:
    """Return the median and the robust spread of what lies below it."""
    centre = float(np.median(residual))
    lower = centre - residual[residual < centre]
    return centre, 1.4826 * float(np.median(lower)) if lower.size else 0.0


def _tidy(bright: BoolArray, dilation_px: int) -> BoolArray:
    """Drop specks smaller than the smoothing makes by chance, then grow the rest."""
    kept = ndimage.binary_opening(bright, np.ones((2, 2), bool))
    if dilation_px > 0:
        distance = ndimage.distance_transform_edt(~kept) if kept.any() else None
        kept = kept if distance is None else distance <= dilation_px
    return np.asarray(kept, bool)
