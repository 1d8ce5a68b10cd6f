"""Two-dimensional tensor-product Bernstein polynomials, fitted by least squares."""

from __future__ import annotations

from math import comb

import numpy as np
from numpy.typing import NDArray

from napari_inr_tomo.types import FloatArray

_SMOOTHING = 1e-6


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
    """Weighted least-squares fits of one polynomial surface to images of one shape."""

    def __init__(self, shape_yx: tuple[int, int], degree_yx: tuple[int, int]) -> None:
        self._rows = bernstein_basis(shape_yx[0], degree_yx[0])
        self._columns = bernstein_basis(shape_yx[1], degree_yx[1])
        self._row_pairs = _pairs(self._rows)
        self._column_pairs = _pairs(self._columns)
        self._roughness = _roughness(degree_yx)

    @property
    def unknowns(self) -> int:
        """Number of coefficients."""
        return int(self._rows.shape[1]) * int(self._columns.shape[1])

    def __call__(
        self, image: NDArray[np.floating], weight: NDArray[np.floating]
    ) -> FloatArray:
        """Return the (y, x) surface nearest ``image`` under the weights (y, x).

        Because the basis is a tensor product, the normal matrix is two small matrix
        products.  A minute penalty on the second differences of the coefficients
        decides what the data leave open, so that the surface stays tame where large
        parts of the image have no weight.
        """
        a, b = self._rows.shape[1], self._columns.shape[1]
        normal = (self._row_pairs.T @ weight @ self._column_pairs).reshape(a, a, b, b)
        matrix = normal.transpose(0, 2, 1, 3).reshape(a * b, a * b)
        scale = max(float(np.trace(matrix)) / (a * b), np.finfo(float).tiny)
        matrix = matrix + _SMOOTHING * scale * self._roughness
        right = (self._rows.T @ (weight * image) @ self._columns).ravel()
        solution, *_ = np.linalg.lstsq(matrix, right, rcond=1e-14)
        return np.asarray(
            self._rows @ solution.reshape(a, b) @ self._columns.T, np.float64
        )


def _pairs(basis: FloatArray) -> FloatArray:
    pairs = basis[:, :, None] * basis[:, None, :]
    return np.asarray(pairs.reshape(len(basis), -1), np.float64)


def _roughness(degree_yx: tuple[int, int]) -> FloatArray:
    a, b = degree_yx[0] + 1, degree_yx[1] + 1
    second_a = np.diff(np.eye(a), n=2, axis=0)
    second_b = np.diff(np.eye(b), n=2, axis=0)
    return np.asarray(
        np.kron(second_a.T @ second_a, np.eye(b))
        + np.kron(np.eye(a), second_b.T @ second_b)
    )
