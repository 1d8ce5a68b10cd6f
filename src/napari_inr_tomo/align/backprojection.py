"""Filtered back-projection of single slices across the tilt axis, made for speed."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft, sparse

from napari_inr_tomo.align.frame import axis_directions
from napari_inr_tomo.types import FloatArray

Float32Array = NDArray[np.float32]


class SliceBackProjector:
    """Filtered back-projection of (size, size) slices, with its index table kept.

    A pixel (y, z) of a slice, about its centre, takes its value from every tilt at
    ``y cos(theta) - z sin(theta)``, interpolated linearly.  Only the inscribed circle
    is filled.  The filter is the band-limited ramp of Ramachandran and Lakshminarayanan
    (1971); every tilt counts with the share of the half circle it stands for.
    """

    def __init__(self, angles_deg: ArrayLike, size: int) -> None:
        self.angles_deg = np.asarray(angles_deg, np.float64)
        self.size = int(size)
        at = np.arange(self.size) - (self.size - 1) / 2
        z, y = np.meshgrid(at, at, indexing="ij")
        inside = np.hypot(y, z) <= (self.size - 1) / 2
        self._pixels = np.flatnonzero(inside)
        self._matrix = _interpolation(y[inside], z[inside], self.angles_deg, self.size)
        self._forward: sparse.csr_array | None = None
        self._weight = angular_weights(self.angles_deg)
        self._padded = fft.next_fast_len(2 * self.size, real=True)
        self._ramp = _ramp(self._padded)

    def __call__(self, sinograms: NDArray[np.floating]) -> Float32Array:
        """Return (slice, z, y) float32 from sinograms (slice, tilt, size)."""
        inside = self.inside(sinograms)
        slices = np.zeros((len(sinograms), self.size**2), np.float32)
        slices[:, self._pixels] = inside.T
        return slices.reshape(len(sinograms), self.size, self.size)

    def inside(self, sinograms: NDArray[np.floating]) -> Float32Array:
        """Return (pixel, slice) float32: the values in the inscribed circle only."""
        filtered = self._filtered(sinograms)
        columns = filtered.reshape(len(filtered), -1).T
        return np.asarray(self._matrix @ np.ascontiguousarray(columns))

    def misfit(
        self, sinograms: NDArray[np.floating], iterations: int
    ) -> tuple[FloatArray, FloatArray]:
        """Return residual and data energy (slice,) of a short reconstruction.

        Non-negative least squares by scaled gradient steps with momentum, on rays that
        cross the inscribed circle.  Source: the row and column scaling of SIRT (Gregor
        and Benson 2008) with the momentum of Beck and Teboulle (2009).
        """
        if self._forward is None:
            self._forward = self._matrix.T.tocsr()
        length = np.asarray(self._forward.sum(axis=1))[:, None]
        row = np.where(length > 0.5, 1 / np.maximum(length, 0.5), 0).astype(np.float32)
        column = np.float32(1 / len(self.angles_deg))
        data = np.ascontiguousarray(
            np.asarray(sinograms, np.float32).reshape(len(sinograms), -1).T
        )
        guess = np.zeros((self._matrix.shape[0], data.shape[1]), np.float32)
        ahead, pace = guess, 1.0
        for _ in range(iterations):
            residual = row * (data - self._forward @ ahead)
            better = np.maximum(ahead + column * (self._matrix @ residual), 0)
            faster = (1 + np.sqrt(1 + 4 * pace * pace)) / 2
            ahead = better + np.float32((pace - 1) / faster) * (better - guess)
            guess, pace = better, faster
        residual = data - self._forward @ guess
        return (residual**2).sum(axis=0), (data**2).sum(axis=0)

    def _filtered(self, sinograms: NDArray[np.floating]) -> Float32Array:
        """Filter along the last axis, padded by a line from last value to first.

        Without the line, a specimen that leaves the field would end in a cliff.
        """
        values = np.asarray(sinograms, np.float32)
        pad = self._padded - self.size
        fade = np.arange(1, pad + 1, dtype=np.float32) / (pad + 1)
        tail = values[..., -1:] * (1 - fade) + values[..., :1] * fade
        spectrum = fft.rfft(np.concatenate([values, tail], axis=-1), axis=-1)
        spectrum *= self._ramp * self._weight[:, None]
        return np.asarray(
            fft.irfft(spectrum, self._padded, axis=-1)[..., : self.size], np.float32
        )


def angular_weights(angles_deg: FloatArray) -> Float32Array:
    """Return (tilt,) radians of the half circle each tilt stands for.

    Half the distance to its neighbours on both sides; at the ends of a range with a
    missing wedge as much as on the inner side.  Equal angles share theirs.
    """
    distinct, place, number = np.unique(
        np.round(angles_deg, 6), return_inverse=True, return_counts=True
    )
    if len(distinct) == 1:
        return np.full(len(angles_deg), np.pi / len(angles_deg), np.float32)
    gaps = np.diff(distinct)
    inner = float(np.median(gaps))
    across = max(180.0 - float(distinct[-1] - distinct[0]), 0.0)
    ends = min(across, inner)
    left = np.concatenate([[ends if across < 2 * inner else gaps[0]], gaps])
    right = np.concatenate([gaps, [ends if across < 2 * inner else gaps[-1]]])
    return np.asarray(np.deg2rad((left + right) / 2 / number)[place], np.float32)


def negativity(
    values: NDArray[np.floating], axis: int | tuple[int, ...] | None = None
) -> NDArray[np.floating]:
    """Return the energy of the negative values over that of the positive ones."""
    negative = (np.minimum(values, 0) ** 2).sum(axis=axis)
    positive = (np.maximum(values, 0) ** 2).sum(axis=axis)
    return np.asarray(negative / np.maximum(positive, np.finfo(np.float32).tiny))


class SinogramSampler:
    """Reads sinograms across the tilt axis out of the images, and copies none."""

    def __init__(self, images: NDArray[np.floating], levels: ArrayLike) -> None:
        """Keep (tilt, y, x) images and the level (tilt,) that counts as nothing."""
        self._images = np.ascontiguousarray(images, np.float32)
        self._flat = self._images.reshape(len(images), -1)
        self._levels = np.asarray(levels, np.float32)

    def __call__(
        self,
        axis_deg: float,
        shifts_xy: FloatArray,
        positions: ArrayLike,
        size: int,
    ) -> Float32Array:
        """Return (position, tilt, size) float32, interpolated linearly.

        shifts_xy: (tilt, 2) dx, dy; positions: along the axis, in px.  A value outside
        an image is that of the nearest pixel.
        """
        along, across = axis_directions(axis_deg)
        count, rows, columns = self._images.shape
        t = (np.arange(size) - (size - 1) / 2).astype(np.float32)
        line = np.asarray(positions, np.float32)[:, None, None, None] * along.astype(
            np.float32
        ) + t[:, None] * across.astype(np.float32)
        x = line[..., 0] + (shifts_xy[:, :1] + (columns - 1) / 2).astype(np.float32)
        y = line[..., 1] + (shifts_xy[:, 1:] + (rows - 1) / 2).astype(np.float32)
        x, y = np.clip(x, 0, columns - 1), np.clip(y, 0, rows - 1)
        left = np.minimum(x.astype(np.int32), columns - 2)
        top = np.minimum(y.astype(np.int32), rows - 2)
        x, y = x - left, y - top
        start = np.arange(count, dtype=np.int64)[:, None] * (rows * columns)
        corner = start + top * columns + left
        flat = self._images.ravel()
        upper = flat[corner] * (1 - x) + flat[corner + 1] * x
        corner += columns
        lower = flat[corner] * (1 - x) + flat[corner + 1] * x
        return np.asarray(
            upper * (1 - y) + lower * y - self._levels[:, None], np.float32
        )


def _ramp(count: int) -> Float32Array:
    """Return the transform of the band-limited ramp, sampled in space."""
    place = np.rint(np.fft.fftfreq(count) * count)
    kernel = np.zeros(count)
    kernel[0] = 0.25
    odd = place % 2 != 0
    kernel[odd] = -1 / (np.pi * place[odd]) ** 2
    return np.asarray(fft.rfft(kernel).real, np.float32)


def _interpolation(
    y: FloatArray, z: FloatArray, angles_deg: FloatArray, size: int
) -> sparse.csr_array:
    """Return (pixel, tilt * size) linear interpolation weights."""
    theta = np.deg2rad(angles_deg)
    pixels, tilts = len(y), len(theta)
    indices = np.empty((pixels, tilts, 2), np.int32)
    weights = np.empty((pixels, tilts, 2), np.float32)
    for tilt in range(tilts):
        place = y * np.cos(theta[tilt]) - z * np.sin(theta[tilt]) + (size - 1) / 2
        place = np.clip(place, 0, size - 1)
        lower = np.minimum(place.astype(np.int32), size - 2)
        indices[:, tilt, 0] = tilt * size + lower
        indices[:, tilt, 1] = tilt * size + lower + 1
        weights[:, tilt, 1] = place - lower
        weights[:, tilt, 0] = 1 - weights[:, tilt, 1]
    starts = np.arange(pixels + 1, dtype=np.int32) * (2 * tilts)
    return sparse.csr_array(
        (weights.ravel(), indices.ravel(), starts), shape=(pixels, tilts * size)
    )
