"""Measures of the tilt axis that know nothing of back-projection."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_inr_tomo.align.frame import (
    axis_directions,
    border_level,
    filled_images,
    shifts_xy,
    with_axis,
)
from napari_inr_tomo.types import FloatArray, TiltSeries

_SMOOTHING_PX = 1.5


def specimen_masses(series: TiltSeries) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Return centres of mass and which tilts do not show the whole specimen.

    Returns (tilt, 2) float64 x, y in px about the image centre, and (tilt,) bool, True
    where the specimen reaches the border.  The specimen is what stands out above the
    level at the border: where the lightly smoothed image is above a twentieth of its
    highest value and above its noise, grown by the width of the smoothing.
    """
    images = filled_images(series)
    y, x = (np.arange(n) - (n - 1) / 2 for n in images.shape[1:])
    centres, cut = np.zeros((len(images), 2)), np.ones(len(images), bool)
    for tilt, image in enumerate(images):
        bright = np.asarray(image, np.float64) - border_level(image)
        smooth = ndimage.gaussian_filter(bright, _SMOOTHING_PX, mode="nearest")
        noise = 1.4826 * float(np.median(np.abs(np.diff(bright, axis=1)))) / np.sqrt(2)
        noise /= 2 * np.sqrt(np.pi) * _SMOOTHING_PX
        inside = smooth > max(0.05 * float(smooth.max()), 5 * noise)
        ring = np.concatenate([inside[0], inside[-1], inside[:, 0], inside[:, -1]])
        inside = ndimage.binary_dilation(inside, iterations=int(2 * _SMOOTHING_PX))
        mass = np.where(inside, bright, 0.0)
        total = float(mass.sum())
        if total <= 0:
            continue
        cut[tilt] = np.count_nonzero(ring) > 0.02 * ring.size
        centres[tilt] = mass.sum(axis=0) @ x / total, mass.sum(axis=1) @ y / total
    return centres, cut


def axis_from_masses(series: TiltSeries, axis_deg: float) -> float | None:
    """Return the shift of an axis at this angle that the centres of mass ask for, px.

    The constant c of ``c + y cos(theta) - z sin(theta)`` fitted to the centres of mass
    across the axis; None where they are cut off or the range of tilts is too short to
    tell c from y.
    """
    used = series.only_used()
    centres, cut = specimen_masses(used)
    theta = np.deg2rad(used.angles_deg)
    if cut.mean() > 0.1 or np.ptp(np.cos(theta)) < 0.3:
        return None
    keep = np.flatnonzero(series.mask)
    poses = with_axis(series, axis_deg, 0.0).take(keep)
    across = axis_directions(axis_deg)[1]
    measured = (centres - shifts_xy(poses)) @ across
    columns = np.stack([np.ones(len(theta)), np.cos(theta), -np.sin(theta)], axis=1)
    fit, *_ = np.linalg.lstsq(columns[~cut], measured[~cut], rcond=None)
    return float(fit[0])
