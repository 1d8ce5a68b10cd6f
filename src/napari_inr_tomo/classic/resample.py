"""Turning and shifting planes by exact linear maps (the transpose is the adjoint)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from napari_inr_tomo.geometry import centred
from napari_inr_tomo.parallel2d import csr_from_taps
from napari_inr_tomo.types import FloatArray


def keys_kernel(distance: FloatArray) -> FloatArray:
    """Return the cubic convolution kernel (a = -1/2) at distances in pixels.

    Source: R. G. Keys, IEEE Trans. Acoust. Speech Signal Process. 29 (1981) 1153.
    """
    d = np.abs(distance)
    inner = (1.5 * d - 2.5) * d * d + 1
    outer = ((-0.5 * d + 2.5) * d - 4) * d + 2
    return np.where(d <= 1, inner, np.where(d < 2, outer, 0.0))


def _taps(position: FloatArray, count: int) -> tuple[Any, FloatArray]:
    """Return (point, 4) indices and weights along one axis, weight 0 off the grid."""
    near = np.round(position)
    position = np.where(np.abs(position - near) < 1e-9, near, position)
    index = np.floor(position).astype(np.int64)[:, None] + np.arange(-1, 3)
    weight = keys_kernel(position[:, None] - index)
    weight[(index < 0) | (index >= count)] = 0
    return index, weight


def rotation_matrix(
    angle_deg: float,
    shape_in_yx: tuple[int, int],
    shape_out_yx: tuple[int, int],
    dtype: Any = np.float32,
) -> Any:
    """Return a CSR matrix (y' * x', y * x) that turns a plane about its centre.

    The content turns by ``angle_deg`` from +x towards +y, as `geometry.rz` does; what
    lies outside the plane is zero.  Cubic interpolation with 16 neighbours.
    """
    angle = np.deg2rad(angle_deg)
    c, s = np.cos(angle), np.sin(angle)
    y, x = centred(shape_out_yx[0])[:, None], centred(shape_out_yx[1])
    height, width = shape_in_yx
    row, row_weight = _taps((c * y - s * x).ravel() + (height - 1) / 2, height)
    column, column_weight = _taps((c * x + s * y).ravel() + (width - 1) / 2, width)
    index = row[:, :, None] * width + column[:, None, :]
    weight = row_weight[:, :, None] * column_weight[:, None, :]
    flat = (len(row), 16)
    return csr_from_taps(
        index.reshape(flat), weight.reshape(flat), height * width, dtype
    )


def shift_matrices(shifts_px: ArrayLike, count: int) -> FloatArray:
    """Return dense (tilt, x', x) matrices that move rows by a shift, zeros outside.

    A windowed sine cardinal with six neighbours (Lanczos), normalised so that a
    constant stays one; whole pixels are moved exactly.
    """
    shifts = np.atleast_1d(np.asarray(shifts_px, np.float64))
    x = centred(count)
    base = np.floor(-shifts)
    offsets = base[:, None] + np.arange(-2, 4)
    distance = offsets + shifts[:, None]
    weight = np.sinc(distance) * np.sinc(distance / 3) * (np.abs(distance) < 3)
    weight[np.abs(weight) < 1e-12] = 0
    weight /= weight.sum(1, keepdims=True)
    matrices = np.zeros((len(shifts), count, count))
    difference = (x[None, :] - x[:, None]).round()
    for matrix, offset, values in zip(matrices, offsets, weight, strict=True):
        for step, value in zip(offset, values, strict=True):
            matrix[difference == step] = value
    return matrices
