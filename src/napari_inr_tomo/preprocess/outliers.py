"""Hot and dead pixels: found, masked, and filled from their neighbours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.preprocess.specimen import FLOOR
from napari_inr_tomo.types import BoolArray, FloatArray, Step, TiltSeries

_AROUND = np.ones((5, 5), bool)
_AROUND[2, 2] = False
_NEXT = np.ones((3, 3), bool)
_NEXT[1, 1] = False
_TO_SIGMA = 1.4826
_GROUPS = 12
_MOST = 0.02


def mask_outliers(
    series: TiltSeries, threshold: float = 8.0, growth_px: int = 0
) -> TiltSeries:
    """Return the series with hot and dead pixels marked invalid and filled.

    A pixel is compared with the median of the 24 around it, in units of the noise:
    that of all pixels as bright as its surroundings, or the spread of the 24 where
    that is larger; and it must differ as much from all but two of the 8 next to it.  So
    edges and spots of the specimen do not count.  It is
    an outlier of one image where it is ``threshold`` units off; one of the detector,
    in all images, where its median over the tilts is half as much off, or where it
    never changes while its neighbours do.  Outliers take the mean of the good ones
    of the 8 next to them as their value.

    growth_px: pixels by which the outliers of the detector are grown.
    A notice tells how many were found; above a fiftieth of all pixels nothing is
    changed, as that is then no defect but the specimen or the noise.
    Raises `UserError` for a threshold that would take noise for outliers.
    """
    if not threshold >= 4:
        raise UserError(
            "The threshold for hot pixels is too low",
            f"at {threshold} standard deviations much of the noise lies outside",
            "Give 4 or more, usually 8",
        )
    deviation, around = _deviations(series)
    single = np.abs(deviation) > threshold
    steady = np.abs(np.median(deviation[series.mask], axis=0)) > threshold / 2
    steady |= _frozen_pixels(series.images[series.mask])
    if growth_px > 0:
        steady = ndimage.binary_dilation(steady, iterations=int(growth_px))
    bad = single | steady
    share = float(bad.mean())
    parameters = {
        "threshold": float(threshold),
        "growth_px": int(growth_px),
        "changed": share <= _MOST,
        "detector_pixels": int(steady.sum()),
        "single_pixels": int((single & ~steady).sum()),
    }
    step = Step("mask_outliers", parameters)
    if share > _MOST:
        notice = (
            f"Hot pixels: nothing was changed, since {share:.1%} of all pixels stand "
            "out and that is no defect; raise the threshold"
        )
        return series.evolve(step, notices=(*series.notices, notice))
    if not bad.any():
        return series.evolve(step)
    valid = ~bad if series.valid is None else series.valid & ~bad
    images = np.where(bad, _filling(series.images, ~valid, around), series.images)
    notice = (
        f"Hot pixels: {parameters['detector_pixels']} pixels of the detector and "
        f"{parameters['single_pixels']} in single images were masked"
    )
    return series.evolve(
        step, images=images, valid=valid, notices=(*series.notices, notice)
    )


def _deviations(
    series: TiltSeries,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return (tilt, y, x): distance from the neighbours in sigma, and their median."""
    deviation = np.zeros(series.images.shape, np.float32)
    around = np.empty(series.images.shape, np.float32)
    for tilt, image in enumerate(series.images):
        known = image
        if series.valid is not None:
            good = series.valid[tilt]
            known = np.where(good, image, np.median(image[good]) if good.any() else 0)
        middle = ndimage.median_filter(known, footprint=_AROUND, mode="reflect")
        off = known - middle
        spread = ndimage.median_filter(np.abs(off), footprint=_AROUND, mode="reflect")
        noise = np.maximum(_noise(off, middle), _TO_SIGMA * spread)
        low, high = np.quantile(middle, (0.001, 0.999))
        floor = max(FLOOR * float(high - low), 1e-30)
        deviation[tilt] = _lonely(known, off) / np.maximum(noise, floor)
        around[tilt] = middle
    if series.valid is not None:
        deviation[~series.valid] = 0
    return deviation, around


def _lonely(
    image: NDArray[np.floating], off: NDArray[np.floating]
) -> NDArray[np.floating]:
    """Return ``off`` cut to what a pixel differs from all but two of the 8 next to it.

    So the rim of a specimen, which is like several of its neighbours, stays.
    """
    above = ndimage.rank_filter(image, 5, footprint=_NEXT, mode="reflect")
    below = ndimage.rank_filter(image, 2, footprint=_NEXT, mode="reflect")
    bright = np.clip(image - above, 0, np.maximum(off, 0))
    dark = np.clip(image - below, np.minimum(off, 0), 0)
    return np.asarray(np.where(off > 0, bright, dark))


def _noise(
    off: NDArray[np.floating], level: NDArray[np.floating]
) -> NDArray[np.floating]:
    """Return (y, x) sigma of ``off`` among the pixels whose level is alike."""
    edges = np.unique(np.quantile(level, np.linspace(0, 1, _GROUPS + 1)))
    if len(edges) < 3:
        return np.full(off.shape, _TO_SIGMA * float(np.median(np.abs(off))))
    group = np.clip(np.searchsorted(edges, level, side="right") - 1, 0, len(edges) - 2)
    sizes = np.abs(off)
    sigma: FloatArray = np.array(
        [
            np.median(sizes[group == k]) if (group == k).any() else 0.0
            for k in range(len(edges) - 1)
        ]
    )
    return np.asarray(_TO_SIGMA * np.maximum.accumulate(sigma))[group]


def _frozen_pixels(images: NDArray[np.float32]) -> BoolArray:
    """Return (y, x): pixels that never change while most of their neighbours do."""
    if len(images) < 3:
        return np.zeros(images.shape[1:], bool)
    moves = images.max(axis=0) > images.min(axis=0)
    share = ndimage.uniform_filter(moves.astype(np.float32), 5, mode="reflect")
    return np.asarray(~moves & (share > 0.6))


def _filling(
    images: NDArray[np.float32], bad: BoolArray, around: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return (tilt, y, x) values for the bad pixels, from good neighbours only.

    bad: what was masked before, too: anything may lie there.
    """
    good = (~bad).astype(np.float32)
    weight = ndimage.uniform_filter(good, (1, 3, 3), mode="reflect")
    total = ndimage.uniform_filter(
        np.where(bad, 0, images).astype(np.float32), (1, 3, 3), mode="reflect"
    )
    return np.where(weight > 0.1, total / np.maximum(weight, 1e-6), around)
