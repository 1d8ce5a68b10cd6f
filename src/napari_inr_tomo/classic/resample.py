"""Turning and shifting planes by exact linear maps (the transpose is the adjoint)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_inr_tomo.geometry import centred
from napari_inr_tomo.parallel2d import csr_from_taps
from napari_inr_tomo.types import FloatArray


def _neighbours(position: FloatArray) -> tuple[NDArray[np.int64], FloatArray]:
    """Return (point, 6) indices and weights: a windowed sine cardinal (Lanczos).

    The weights add up to one, and a position on the grid has a single neighbour.
    """
    near = np.round(position)
    position = np.where(np.abs(position - near) < 1e-9, near, position)
    index = np.floor(position).astype(np.int64)[:, None] + np.arange(-2, 4)
    distance = position[:, None] - index
    weight = np.sinc(distance) * np.sinc(distance / 3) * (np.abs(distance) < 3)
    weight[np.abs(weight) < 1e-12] = 0
    return index, weight / weight.sum(1, keepdims=True)


def _taps(position: FloatArray, count: int) -> tuple[NDArray[np.int64], FloatArray]:
    """Return the neighbours along one axis, with weight 0 off the grid."""
    index, weight = _neighbours(position)
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
    lies outside the plane is zero.  Six by six neighbours: on sharp phantoms the error
    this adds to the projections is half that of cubic convolution.
    """
    angle = np.deg2rad(angle_deg)
    c, s = np.cos(angle), np.sin(angle)
    y, x = centred(shape_out_yx[0])[:, None], centred(shape_out_yx[1])
    height, width = shape_in_yx
    row, row_weight = _taps((c * y - s * x).ravel() + (height - 1) / 2, height)
    column, column_weight = _taps((c * x + s * y).ravel() + (width - 1) / 2, width)
    index = row[:, :, None] * width + column[:, None, :]
    weight = row_weight[:, :, None] * column_weight[:, None, :]
    flat = (len(row), 36)
    return csr_from_taps(
        index.reshape(flat), weight.reshape(flat), height * width, dtype
    )


def shift_matrices(shifts_px: ArrayLike, count: int) -> FloatArray:
    """Return dense (tilt, x', x) matrices that move rows by a shift, zeros outside.

    Same interpolation as `rotation_matrix`; whole pixels are moved exactly.
    """
    shifts = np.atleast_1d(np.asarray(shifts_px, np.float64))
    matrices = np.zeros((len(shifts), count, count))
    rows = np.arange(count)[:, None]
    for matrix, shift in zip(matrices, shifts, strict=True):
        index, weight = _taps(np.arange(count) - shift, count)
        np.add.at(matrix, (rows, index.clip(0, count - 1)), weight)
    return matrices
