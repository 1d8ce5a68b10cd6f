"""How badly a tilt axis fits, as a function of its angle and shift."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_inr_tomo.align.backprojection import (
    SinogramSampler,
    SliceBackProjector,
    negativity,
)
from napari_inr_tomo.align.frame import (
    axis_directions,
    border_level,
    filled_images,
    shifts_xy,
    with_axis,
)
from napari_inr_tomo.align.mass import MassModel
from napari_inr_tomo.types import FloatArray, TiltSeries

QUANTILES = (0.5, 0.2, 0.8, 0.35, 0.65, 0.1, 0.9)
_BAND = np.array([-1.0, 0.0, 1.0])  # rows averaged for one slice


class Landscape:
    """What a few slices across the axis say about its angle and shift.

    It works on block means of the images and on a part of the tilts, but speaks in
    pixels of the series.
    """

    def __init__(
        self,
        series: TiltSeries,
        largest_px: int,
        most_tilts: int,
        slices: int,
        iterations: int = 15,
        masses: MassModel | None = None,
    ) -> None:
        """Prepare small images; with ``masses``, shifts follow them at every angle."""
        self._masses = masses
        self._series = series
        keep = np.flatnonzero(series.mask)
        order = keep[np.argsort(series.angles_deg[keep])]
        self._keep = order[:: -(-len(order) // most_tilts)]
        part = series.take(self._keep)
        images = filled_images(part)
        levels = np.array([border_level(image) for image in images])
        self.factor = max(1, -(-min(images.shape[1:]) // largest_px))
        small, self._offset = block_means(images, self.factor)
        self._sample = SinogramSampler(small, levels)
        self._size = min(small.shape[1:])
        self._project = SliceBackProjector(part.angles_deg, self._size)
        self._slices = slices
        self._iterations = iterations
        self._mass = np.clip(small - levels[:, None, None], 0, None)
        self._middle = int(np.argmin(np.abs(part.angles_deg)))

    def positions(self, axis_deg: float) -> FloatArray:
        """Return where along the axis the slices lie: where the specimen is."""
        image = self._mass[self._middle]
        along, _ = axis_directions(axis_deg)
        y, x = (np.arange(n) - (n - 1) / 2 for n in image.shape)
        place = (x * along[0] + y[:, None] * along[1]).ravel()
        reach = 0.4 * self._size
        weight = np.where(np.abs(place) < reach, image.ravel(), 0.0)
        if weight.sum() <= 0:
            return np.zeros(1)
        order = np.argsort(place)
        share = np.cumsum(weight[order]) / weight.sum()
        chosen = np.interp(sorted(QUANTILES[: self._slices]), share, place[order])
        return np.asarray(chosen * self.factor, np.float64)

    def _sinograms(self, axis_deg: float, shifts_px: FloatArray) -> NDArray[np.float32]:
        """Return (shift * slice, tilt, size)."""
        series = self._series
        if self._masses is not None:
            dx, dy = self._masses.shifts(axis_deg).T
            poses = replace(series.start_poses, dx_px=dx, dy_px=dy)
            series = replace(series, poses=poses)
        poses = with_axis(series, axis_deg, 0.0).take(self._keep)
        across = axis_directions(axis_deg)[1]
        middles = self.positions(axis_deg) / self.factor
        places = (middles[:, None] + _BAND).ravel()
        shifts = shifts_xy(poses) - self._offset
        rows = np.concatenate(
            [
                self._sample(
                    axis_deg,
                    (shifts + shift * across) / self.factor,
                    places,
                    self._size,
                )
                for shift in shifts_px
            ]
        )
        bands = rows.reshape(-1, len(_BAND), *rows.shape[1:])
        return np.asarray(bands.mean(axis=1), np.float32)

    def misfit(self, axis_deg: float, shifts_px: ArrayLike) -> FloatArray:
        """Return for one angle and several shifts how badly any object explains them.

        The residual energy after a few iterations of a non-negative reconstruction of
        the slices, over the energy of the data.
        """
        wanted = np.atleast_1d(np.asarray(shifts_px, np.float64))
        sinograms = self._sinograms(axis_deg, wanted)
        residual, energy = self._project.misfit(sinograms, self._iterations)
        total = energy.reshape(len(wanted), -1).sum(axis=1)
        share = residual.reshape(len(wanted), -1).sum(axis=1) / np.maximum(total, 1e-30)
        return np.asarray(share, np.float64)

    def negativity(self, axis_deg: float, shift_px: float) -> float:
        """Return the ratio of negative to positive energy of the filtered slices."""
        sinograms = self._sinograms(axis_deg, np.array([shift_px]))
        return float(negativity(self._project.inside(sinograms)))


def block_means(
    images: NDArray[np.float32], factor: int
) -> tuple[NDArray[np.float32], FloatArray]:
    """Return block means and where their centre lies, (x, y) px about the old one."""
    rows, columns = (n // factor * factor for n in images.shape[1:])
    cut = images[:, :rows, :columns]
    blocks = cut.reshape(len(images), rows // factor, factor, columns // factor, factor)
    offset = np.array([columns - images.shape[2], rows - images.shape[1]]) / 2
    return blocks.mean(axis=(2, 4), dtype=np.float32), offset
