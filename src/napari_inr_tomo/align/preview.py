"""Slices that follow the tilt axis while it is dragged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

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
from napari_inr_tomo.types import FloatArray, TiltSeries


@dataclass(frozen=True, eq=False)
class SlicePreview:
    """Filtered back-projections of slices perpendicular to the tilt axis.

    slices: (position, z, y) float32; z is the depth, y runs across the axis.
    negativity: (position,) energy of the negative values over that of the positive
    ones inside the inscribed circle; the smaller, the better the axis.
    positions: (position,) pixels along the axis from its foot point at the centre.
    """

    slices: NDArray[np.float32]
    negativity: FloatArray
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
            slices, negativity(slices, axis=(1, 2)).astype(np.float64), places
        )


def preview_slices(
    series: TiltSeries, axis_deg: float, shift_px: float, positions: ArrayLike
) -> SlicePreview:
    """Return slices across an axis at these numbers; see `SlicePreviewer.slices`.

    For many calls on one series, keep a `SlicePreviewer`.
    """
    return SlicePreviewer(series).slices(axis_deg, shift_px, positions)
