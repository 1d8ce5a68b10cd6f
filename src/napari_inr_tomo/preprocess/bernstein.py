"""Two-dimensional tensor-product Bernstein polynomials, fitted by least squares."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import comb

import numpy as np

from napari_inr_tomo.preprocess.arrays import (
    Batch,
    beside,
    doubles,
    row_blocks,
    to_numpy,
    zeros,
)
from napari_inr_tomo.types import FloatArray

_SMOOTHING = 1e-6
_RCOND = 1e-14


def bernstein_basis(count: int, degree: int) -> FloatArray:
    """Return the (count, degree + 1) Bernstein polynomials at ``count`` pixel centres.

    The pixel centres lie at (i + 1/2) / count of the unit interval.  Column k is
    ``comb(degree, k) t^k (1 - t)^(degree - k)``; the columns sum to one.
    """
    t = (np.arange(count) + 0.5) / count
    columns = [
        comb(degree, k) * t**k * (1 - t) ** (degree - k) for k in range(degree + 1)
    ]
    return np.stack(columns, axis=1)


class SurfaceFit:
    """Weighted least-squares fits of one polynomial surface to images of one shape.

    model: a batch (tilt, y, x) of the shape, kind and device of those to be fitted.
    degree_yx: along y and along x.
    """

    def __init__(self, model: Batch, degree_yx: tuple[int, int]) -> None:
        height, width = model.shape[1:]
        a, b = degree_yx
        self._rows = beside(_basis(height, a), model)
        self._columns = beside(_basis(width, b), model)
        self._double_rows = beside(_basis(height, 2 * a), model)
        self._double_columns = beside(_basis(width, 2 * b), model)
        self._normal = _Normal.of_degree(degree_yx)
        self._blocks = row_blocks(model, 2 * (max(a, b) + 1))
        self._shape = height, width
        self.unknowns = (a + 1) * (b + 1)
        """Number of coefficients."""

    def __call__(self, images: Batch, weights: Batch) -> Batch:
        """Return the surfaces nearest images under the weights; all (tilt, y, x)."""
        return self.drawn(self.solved(images, lambda rows: weights[:, rows]))

    def solved(self, images: Batch, weights: Callable[[slice], Batch]) -> Batch:
        """Return (tilt, a + 1, b + 1) coefficients of the surfaces nearest the images.

        images: (tilt, y, x).  weights: returns (tilt, rows, x) for a block of rows.
        The basis is a tensor product, and products of two Bernstein polynomials are
        Bernstein polynomials of twice the degree: the normal matrix consists of the few
        moments of the weights with those (Farouki and Rajan 1988).  A minute penalty on
        the second differences of the coefficients decides what the data leave open, so
        that the surface stays tame where large parts of the image have no weight.
        """
        moments, right = 0, 0
        for rows in self._blocks:
            weight = doubles(weights(rows))
            moments = moments + self._double_rows[rows].T @ weight
            right = right + self._rows[rows].T @ (weight * images[:, rows])
        moments, right = moments @ self._double_columns, right @ self._columns
        return beside(self._normal.solved(to_numpy(moments), to_numpy(right)), images)

    def drawn(self, coefficients: Batch, rows: slice | None = None) -> Batch:
        """Return the surfaces (tilt, y, x) of coefficients, or some rows of them."""
        across = coefficients @ self._columns.T
        if rows is not None:
            return self._rows[rows] @ across
        surfaces = zeros(coefficients, self._shape)
        for block in self._blocks:
            surfaces[:, block] = self._rows[block] @ across
        return surfaces


class _Normal:
    """The normal equations of all images, small enough to be solved by the processor.

    Coefficient (i, k), of row i and column k, is the unknown i (b + 1) + k.
    """

    def __init__(self, degree_yx: tuple[int, int]) -> None:
        a, b = degree_yx
        down, across = (np.arange(n + 1) for n in degree_yx)
        i, k = (index.ravel() for index in np.meshgrid(down, across, indexing="ij"))
        self._at = np.add.outer(i, i), np.add.outer(k, k)
        self._factor = _of_product(a)[np.ix_(i, i)] * _of_product(b)[np.ix_(k, k)]
        self._roughness = _roughness(degree_yx)

    @classmethod
    @lru_cache(maxsize=64)
    def of_degree(cls, degree_yx: tuple[int, int]) -> _Normal:
        """Return the same object for the same degree."""
        return cls(degree_yx)

    def solved(self, moments: FloatArray, right: FloatArray) -> FloatArray:
        """Return (tilt, a + 1, b + 1) coefficients.

        moments: (tilt, 2 a + 1, 2 b + 1) of the weights.  right: (tilt, a + 1, b + 1).
        What the equations leave open to 1e-14 of the most certain stays zero.
        """
        matrix = np.ascontiguousarray(moments[:, *self._at] * self._factor)
        scale = np.array([np.trace(one) for one in matrix]) / matrix.shape[1]
        scale = np.maximum(scale, np.finfo(float).tiny)
        matrix += _SMOOTHING * scale[:, None, None] * self._roughness
        size, axes = np.linalg.eigh(matrix)
        size, axes = size[:, :, None], np.asarray(axes)
        known = np.abs(size) > _RCOND * np.abs(size).max(axis=1, keepdims=True)
        along = axes.swapaxes(1, 2) @ right.reshape(len(right), -1, 1)
        along = np.where(known, along, 0) / np.where(known, size, 1)
        return np.asarray((axes @ along).reshape(right.shape))


@lru_cache(maxsize=64)
def _basis(count: int, degree: int) -> FloatArray:
    return bernstein_basis(count, degree)


def _of_product(degree: int) -> FloatArray:
    """Return (n + 1, n + 1) factors: B_i B_j is this times B_(i+j) of degree 2 n."""
    chosen = np.array([comb(degree, k) for k in range(degree + 1)], float)
    doubled = np.array([comb(2 * degree, k) for k in range(2 * degree + 1)], float)
    order = np.arange(degree + 1)
    return np.asarray(np.outer(chosen, chosen) / doubled[np.add.outer(order, order)])


def _roughness(degree_yx: tuple[int, int]) -> FloatArray:
    a, b = degree_yx[0] + 1, degree_yx[1] + 1
    second_a = np.diff(np.eye(a), n=2, axis=0)
    second_b = np.diff(np.eye(b), n=2, axis=0)
    return np.asarray(
        np.kron(second_a.T @ second_a, np.eye(b))
        + np.kron(np.eye(a), second_b.T @ second_b)
    )
