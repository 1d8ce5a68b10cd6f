"""The common line: along the axis, all tilts have one profile.

The sum of an image across the tilt axis is the same for every tilt, whatever the
specimen, as long as it stays in the field across the axis.  It knows nothing of
back-projection, nor of shifts: along the axis every tilt is moved to fit, and across it
a sum cannot tell.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_inr_tomo.align.frame import (
    axis_directions,
    border_level,
    filled_images,
    resample,
    shifts_xy,
)
from napari_inr_tomo.align.landscape import block_means
from napari_inr_tomo.geometry import centred
from napari_inr_tomo.types import FloatArray, TiltSeries

_PROFILE_PX = 64
_MOST_TILTS = 60
_FINER = 8
_SMOOTHING_PX = 1.0
_COARSE_DEG = 3.0
_BRIGHT = 0.2
_NEAR_DEG = 12.0
"""An angle further off than this is another answer, not the same one less exactly."""


@dataclass(frozen=True, eq=False)
class CommonLine:
    """Where the profiles of all tilts agree best.

    axis_deg: as in `set_tilt_axis`, within +-90 degrees.
    contrast: 0 to 1, how far the disagreement there lies below that of other angles.
    sigma_deg: the range of angles, to either side, that fit nearly as well.
    rival_deg: the best angle more than 12 degrees off, and rival: the disagreement
    there over the least one; infinite where there is no such angle.
    along_px: (used tilt,) where the content of each tilt lies along that axis,
    relative to the mean, at the shifts of the poses as they are; px of the series.
    """

    axis_deg: float
    contrast: float
    sigma_deg: float
    rival_deg: float
    rival: float
    along_px: FloatArray


def find_common_line(
    series: TiltSeries, axis_deg: float | None = None
) -> CommonLine | None:
    """Return the axis on which all profiles agree; None where the field is full.

    The series should have no background left and tilts of one brightness.
    axis_deg: judge this angle, degrees, in place of searching for one.
    """
    profiles = _Profiles(series)
    angles: FloatArray = np.arange(-90.0, 90.0, _COARSE_DEG)
    spread = np.array([profiles.spread(angle)[0] for angle in angles])
    if not np.isfinite(spread).any():
        return None
    best = float(angles[int(np.argmin(spread))]) if axis_deg is None else axis_deg
    for step in (1.0, 0.4) if axis_deg is None else ():
        near: FloatArray = best + step * np.arange(-3.0, 4.0)
        values = np.array([profiles.spread(angle)[0] for angle in near])
        if not np.isfinite(values).any():
            return None
        best = _vertex(near, values)
    least, along = profiles.spread(best)
    if not np.isfinite(least):
        return None
    finite = spread[np.isfinite(spread)]
    usual = float(np.median(finite)) if len(finite) > 3 else float(finite.max())
    contrast = float(np.clip(1 - least / max(usual, 1e-30), 0, 1))
    wide = 3.0
    rise = [profiles.spread(best + side * wide)[0] - least for side in (-1, 1)]
    curvature = max(float(np.mean(rise)) / wide**2, 1e-12)
    noise = least / np.sqrt(max(profiles.count, 1))
    sigma = float(np.sqrt(noise / curvature)) if np.isfinite(curvature) else 0.5
    found = float((best + 90) % 180 - 90) if axis_deg is None else axis_deg
    off = np.abs((angles - best + 90) % 180 - 90) > _NEAR_DEG
    others = np.where(off, spread, np.inf)
    rival_deg = float(angles[int(np.argmin(others))])
    rival = float(others.min()) / max(least, 1e-30)
    turned = -1.0 if abs(found - best) > 90 else 1.0
    return CommonLine(found, contrast, sigma, rival_deg, rival, turned * along)


class _Profiles:
    """The sums across any axis of small images of some tilts."""

    def __init__(self, series: TiltSeries) -> None:
        used = series.only_used()
        images = filled_images(used)
        self.factor = max(1, -(-min(images.shape[1:]) // _PROFILE_PX))
        small, _ = block_means(images, self.factor)
        small = (
            small - np.array([border_level(image) for image in small])[:, None, None]
        )
        self._images = np.asarray(small, np.float64)
        self._shifts = shifts_xy(used.start_poses) / self.factor
        self._every = -(-len(small) // _MOST_TILTS)
        self.count = len(self._images[:: self._every])
        self._touching = [
            _touching(image) - shift
            for image, shift in zip(self._images, self._shifts, strict=True)
        ]

    def _free(self, axis_deg: float) -> float:
        """Return how far from the middle, along the axis, no tilt is cut off, px.

        A tenth of the tilts may be.
        """
        along, _ = axis_directions(axis_deg)
        half = 3 / 8 * self._images.shape[2]
        nearest = [
            float(np.abs(points @ along).min()) if len(points) else half
            for points in self._touching
        ]
        return float(min(half, np.quantile(nearest, 0.1, method="lower") - 1))

    def spread(self, axis_deg: float) -> tuple[float, FloatArray]:
        """Return how far the profiles differ, and where each lies along the axis."""
        half = self._free(axis_deg)
        size = self._images.shape[2]
        if half < size / 4:
            return np.inf, np.zeros(len(self._images))
        frames = np.stack(
            [
                resample(image, axis_deg, shift)
                for image, shift in zip(self._images, self._shifts, strict=True)
            ]
        )
        profiles = ndimage.gaussian_filter1d(frames.sum(axis=1), _SMOOTHING_PX, axis=1)
        placed, moved = _laid_together(profiles)
        inside = np.abs(centred(size)) < half
        middle = placed[:: self._every, inside]
        mean = middle.mean(axis=0)
        contrast = float(((mean - mean.mean()) ** 2).sum())
        value = float(middle.var(axis=0).sum()) / max(contrast, 1e-30)
        return value, moved * self.factor


def _touching(image: FloatArray) -> FloatArray:
    """Return (point, 2) x, y about the centre: where specimen touches the border."""
    smooth = ndimage.uniform_filter(image, 3, mode="nearest")
    ring = np.ones(image.shape, bool)
    ring[1:-1, 1:-1] = False
    bright = smooth > _BRIGHT * float(np.quantile(smooth, 0.99))
    y, x = np.nonzero(ring & bright)
    rows, columns = image.shape
    return np.stack([x - (columns - 1) / 2, y - (rows - 1) / 2], axis=1)


def _laid_together(
    profiles: NDArray[np.floating], rounds: int = 3
) -> tuple[FloatArray, FloatArray]:
    """Return the (tilt, u) profiles moved onto their mean, and where they lay, px."""
    count, size = profiles.shape
    padded = 2 * size
    spectra = np.fft.rfft(profiles, padded, axis=1)
    frequency = np.fft.rfftfreq(padded)
    moved = np.zeros(count)
    far = (
        np.abs((np.arange(padded * _FINER) / _FINER + size) % padded - size) > size / 4
    )
    for _ in range(rounds):
        placed = spectra * np.exp(2j * np.pi * frequency * moved[:, None])
        mean = placed.mean(axis=0)
        cross = np.fft.irfft(spectra * mean.conj(), padded * _FINER, axis=1)
        cross[:, far] = -np.inf
        peak = np.argmax(cross, axis=1)
        found = (peak / _FINER + size) % padded - size
        moved = found - found.mean()
    placed = spectra * np.exp(2j * np.pi * frequency * moved[:, None])
    return np.fft.irfft(placed, padded, axis=1)[:, :size], moved


def _vertex(angles: FloatArray, values: FloatArray) -> float:
    """Return the minimum of a parabola through the least value and its neighbours."""
    best = int(np.argmin(values))
    if 0 < best < len(values) - 1 and np.isfinite(values[best - 1 : best + 2]).all():
        left, middle, right = values[best - 1 : best + 2]
        curvature = left - 2 * middle + right
        if curvature > 0:
            step = angles[1] - angles[0]
            return float(angles[best] + step * (left - right) / (2 * curvature))
    return float(angles[best])
