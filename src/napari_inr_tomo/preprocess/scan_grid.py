"""Scans with displaced lines laid onto one regular grid, and read back from it.

Every pixel of a scan is spread over its neighbours on the grid (kernel density
estimate); where several meet they are averaged.  Source: Ophus, Ciston and Nelson,
Ultramicroscopy 162, 1-9 (2016), section 2.  What the mean over the kernel blurs is put
back by spreading the differences that remain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from napari_inr_tomo.geometry import scan_positions
from napari_inr_tomo.types import FloatArray

KERNEL_PX = 0.6
"""Width of the kernel."""
COVERED = 0.35
"""Density of scan pixels, 1 for a full one, from which a pixel of the grid counts."""


@dataclass(frozen=True, eq=False)
class Scan:
    """One scan as stored, (line, pixel), what of it counts, and where it lies.

    values, weight: (line, pixel) float64; places_yx: (line, pixel, 2) without drift, px
    about the centre of the field.
    """

    values: FloatArray
    weight: FloatArray
    places_yx: FloatArray

    @classmethod
    def of(cls, values: FloatArray, weight: FloatArray, direction_deg: float) -> Scan:
        """Return a scan with this fast direction."""
        shape = (values.shape[0], values.shape[1])
        return cls(values, weight, scan_positions(shape, direction_deg))

    def points(self, offsets_yx: FloatArray) -> FloatArray:
        """Return (line, pixel, 2) for offsets (line, 2)."""
        return self.places_yx + offsets_yx[:, None]

    def blurred(self, width_px: float) -> Scan:
        """Return the scan blurred in its own frame."""
        if not width_px:
            return self
        smooth = ndimage.gaussian_filter(self.values, width_px, mode="nearest")
        return Scan(smooth, self.weight, self.places_yx)


@dataclass(frozen=True)
class Grid:
    """A regular grid about the centre of the field, wider than it by a margin."""

    field_yx: tuple[int, int]
    margin_px: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the grid."""
        rows, columns = self.field_yx
        return rows + 2 * self.margin_px, columns + 2 * self.margin_px

    @property
    def inner(self) -> tuple[slice, slice]:
        """The field within the grid."""
        m = self.margin_px
        return slice(m, m + self.field_yx[0]), slice(m, m + self.field_yx[1])

    def index(self, points_yx: FloatArray) -> FloatArray:
        """Return (2, ...) fractional indices of points (..., 2)."""
        middle = (np.array(self.shape) - 1) / 2
        return np.moveaxis(points_yx + middle, -1, 0)

    def lay(
        self,
        scans: Sequence[Scan],
        offsets_yx: Sequence[FloatArray],
        rounds: int = 3,
    ) -> tuple[FloatArray, FloatArray]:
        """Return the mean image of scans (y, x), and the density of their pixels.

        rounds: how often what remains is spread again.  The density is 1 where one
        scan covers the grid fully; where there is none the image is 0.
        """
        index = np.concatenate(
            [
                self.index(scan.points(offsets)).reshape(2, -1)
                for scan, offsets in zip(scans, offsets_yx, strict=True)
            ],
            axis=1,
        )
        values = np.concatenate([scan.values.ravel() for scan in scans])
        weight = np.concatenate([scan.weight.ravel() for scan in scans])
        kernel = _Kernel(index, weight, self.shape)
        image = kernel.mean(values)
        for _ in range(rounds - 1):
            image += kernel.mean(values - kernel.at_points(image))
        return image, kernel.density


class _Kernel:
    """Spreads values at fixed points onto a grid: linear, then Gaussian."""

    def __init__(
        self, index: FloatArray, weight: FloatArray, shape: tuple[int, int]
    ) -> None:
        self._shape, self._size = shape, shape[0] * shape[1]
        low = np.floor(index).astype(np.int64)
        part_y, part_x = index - low
        inside = np.ones(index.shape[1], bool)
        for axis in (0, 1):
            inside &= (low[axis] >= 0) & (low[axis] < shape[axis] - 1)
        flat = np.where(inside, low[0] * shape[1] + low[1], 0)
        share = weight * inside
        self._cells = [flat, flat + 1, flat + shape[1], flat + shape[1] + 1]
        self._linear = [
            (1 - part_y) * (1 - part_x),
            (1 - part_y) * part_x,
            part_y * (1 - part_x),
            part_y * part_x,
        ]
        self._shares = [share * part for part in self._linear]
        self.density = self._spread(np.ones(index.shape[1]))

    def _spread(self, values: FloatArray) -> FloatArray:
        total = np.zeros(self._size)
        for cell, share in zip(self._cells, self._shares, strict=True):
            total += np.bincount(cell, share * values, self._size)
        grid = total.reshape(self._shape)
        return np.asarray(ndimage.gaussian_filter(grid, KERNEL_PX, mode="constant"))

    def mean(self, values: FloatArray) -> FloatArray:
        """Return (y, x): the weighted mean of the values around every grid point."""
        known = self.density > 0.02
        spread = self._spread(values)
        return np.where(known, spread / np.where(known, self.density, 1.0), 0.0)

    def at_points(self, image: FloatArray) -> FloatArray:
        """Return the image at the points, linear."""
        flat = image.ravel()
        pairs = zip(self._cells, self._linear, strict=True)
        return np.asarray(sum(flat[cell] * part for cell, part in pairs))
