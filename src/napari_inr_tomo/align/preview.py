"""Slices that follow the tilt axis while it is dragged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from napari_inr_tomo.align.backprojection import (
    SinogramSampler,
    SliceBackProjector,
    negativity,
)
from napari_inr_tomo.align.frame import (
    border_level,
    filled_images,
    shifts_xy,
    with_axis,
)
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.types import FloatArray, TiltSeries

PICTURES = ("sum", "maximum")
_COARSE_PX, _COARSE_TILTS, _ITERATIONS = 64, 40, 12


@dataclass(frozen=True, eq=False)
class SlicePreview:
    """Filtered back-projections of slices perpendicular to the tilt axis.

    slices: (position, z, y) float32; z is the depth, y runs across the axis.
    negativity: (position,) energy of the negative values over that of the positive
    ones inside the inscribed circle; the smaller, the better the axis.
    residual: (position,) rms of what no non-negative slice explains over that of the
    data, 0 to 1, on coarse pixels; the smaller, the better the axis.
    positions: (position,) pixels along the axis from its foot point at the centre.
    """

    slices: NDArray[np.float32]
    negativity: FloatArray
    residual: FloatArray
    positions: FloatArray


class SlicePreviewer:
    """Makes previews of one series again and again; keeps what does not change.

    Memory: the back-projection table takes about ``12 tilt n^2`` bytes for slices of
    n x n pixels.
    """

    def __init__(self, series: TiltSeries) -> None:
        self._series = series.only_used()
        self._all = series
        self._keep = np.flatnonzero(series.mask)
        images = filled_images(self._series)
        self._sample = SinogramSampler(images, [border_level(i) for i in images])
        self._projectors: dict[int, SliceBackProjector] = {}
        self._coarse: dict[int, SliceBackProjector] = {}
        self._every = -(-len(images) // _COARSE_TILTS)

    def slices(
        self, axis_deg: float, shift_px: float, positions: ArrayLike
    ) -> SlicePreview:
        """Return the slices that an axis at these numbers would give.

        axis_deg, shift_px: as in `set_tilt_axis`; positions: along the axis, in pixels
        from the centre, positive towards +x turned by the axis angle.  Slices are as
        wide as the images are across the axis, whatever its angle.
        """
        places = np.atleast_1d(np.asarray(positions, np.float64))
        rows, columns = self._series.images.shape[1:]
        upright = abs(np.sin(np.deg2rad(axis_deg))) > np.sqrt(0.5)
        size = columns if upright else rows
        if size not in self._projectors:
            angles = self._series.angles_deg
            self._projectors[size] = SliceBackProjector(angles, size)
        poses = with_axis(self._all, axis_deg, shift_px).take(self._keep)
        sinograms = self._sample(axis_deg, shifts_xy(poses), places, size)
        slices = self._projectors[size](sinograms)
        return SlicePreview(
            slices,
            negativity(slices, axis=(1, 2)).astype(np.float64),
            self._residual(sinograms),
            places,
        )

    def _residual(self, sinograms: NDArray[np.float32]) -> FloatArray:
        """Return (position,) what a short reconstruction leaves, on block means."""
        size = sinograms.shape[-1]
        factor = max(1, -(-size // _COARSE_PX))
        small = size // factor
        start = (size - small * factor) // 2
        part = sinograms[:, :: self._every, start : start + small * factor]
        coarse = part.reshape(*part.shape[:2], small, factor).mean(axis=3)
        if small not in self._coarse:
            angles = self._series.angles_deg[:: self._every]
            self._coarse[small] = SliceBackProjector(angles, small)
        left, energy = self._coarse[small].misfit(coarse, _ITERATIONS)
        return np.sqrt(left / np.maximum(energy, 1e-30)).astype(np.float64)


def tilt_picture(series: TiltSeries, kind: str = "sum") -> NDArray[np.float32]:
    """Return one image (y, x) of all used tilts, to lay the tilt axis on.

    kind: ``sum`` (the mean of all) or ``maximum``.  The tilts are moved by their shifts
    relative to the reference tilt, so that the axis lies as in its image; whatever
    turns about the axis becomes a streak across it.  Each has its border level taken
    off first; outside an image counts as nothing.
    Raises `UserError` for another kind.
    """
    if kind not in PICTURES:
        raise UserError(
            f"The picture {kind!r} is not known",
            f"it is none of {', '.join(PICTURES)}",
            f"Choose from {', '.join(PICTURES)}",
        )
    used = series.only_used()
    shifts = shifts_xy(used.start_poses)
    shifts = shifts - shifts[used.reference]
    total = np.zeros(used.images.shape[1:], np.float32)
    for image, (dx, dy) in zip(filled_images(used), shifts, strict=True):
        flat = image - np.float32(border_level(image))
        if dx or dy:
            flat = ndimage.shift(flat, (-dy, -dx), order=1, mode="constant")
        total += flat if kind == "sum" else np.maximum(flat - total, 0)
    share = np.float32(len(used) if kind == "sum" else 1)
    return np.asarray(total / share, np.float32)


def preview_slices(
    series: TiltSeries, axis_deg: float, shift_px: float, positions: ArrayLike
) -> SlicePreview:
    """Return slices across an axis at these numbers; see `SlicePreviewer.slices`.

    For many calls on one series, keep a `SlicePreviewer`.
    """
    return SlicePreviewer(series).slices(axis_deg, shift_px, positions)
