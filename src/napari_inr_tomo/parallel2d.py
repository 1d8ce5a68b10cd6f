"""Parallel-beam geometry of one slice across the tilt axis, as sparse matrices.

A slice is (z, y), flattened with y fastest; a sinogram is (tilt, v), v fastest.  The
point (y, z) of the slice lands at ``v = y cos(angle) - z sin(angle)`` (see
`napari_inr_tomo.geometry`), all about the centres of the slice and of the detector.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from napari_inr_tomo.geometry import centred
from napari_inr_tomo.types import FloatArray

FilterName = Literal["ramp", "shepp-logan", "cosine", "hamming", "hann"]
FILTERS: tuple[FilterName, ...] = ("ramp", "shepp-logan", "cosine", "hamming", "hann")

_TINY = 1e-12
_SAME_DEG = 1e-3
"""Tilts nearer to each other than this are equal."""


def _cos_sin(angle_deg: float) -> tuple[float, float]:
    """Return cosine and sine, exactly zero where they should be."""
    radians = np.deg2rad(angle_deg)
    c, s = float(np.cos(radians)), float(np.sin(radians))
    return (0.0 if abs(c) < _TINY else c), (0.0 if abs(s) < _TINY else s)


def _linear_taps(
    position: FloatArray, count: int
) -> tuple[NDArray[np.int64], FloatArray]:
    """Return (..., 2) indices and weights; weight 0 where the tap is off the grid."""
    near = np.round(position)
    position = np.where(np.abs(position - near) < 1e-9, near, position)
    first = np.floor(position).astype(np.int64)
    fraction = position - first
    index = np.stack([first, first + 1], -1)
    weight = np.stack([1 - fraction, fraction], -1)
    weight[(index < 0) | (index >= count)] = 0
    return index, weight


def csr_from_taps(
    index: NDArray[np.int64], weight: FloatArray, columns: int, dtype: Any
) -> Any:
    """Return a CSR matrix with one row per leading index and sorted int32 columns.

    index, weight: (row, tap); taps of weight zero are left out.
    """
    keep = weight != 0
    ends = np.cumsum(np.count_nonzero(keep, axis=1))
    indptr = np.concatenate([[0], ends]).astype(np.int32)
    matrix = sparse.csr_matrix(
        (weight[keep].astype(dtype), index[keep].astype(np.int32), indptr),
        shape=(len(index), columns),
    )
    matrix.sort_indices()
    return matrix


def joseph_matrix(
    angles_deg: ArrayLike,
    shape_zy: tuple[int, int],
    detector_count: int,
    shift_px: ArrayLike = 0.0,
    dtype: Any = np.float32,
) -> Any:
    """Return the projector of one slice as a CSR matrix, (tilt * v, z * y), int32.

    Every ray is followed plane by plane along z (tilts up to 45 degrees) or along y
    (steeper), with linear interpolation in the plane, times the length of the step.

    angles_deg: (tilt,), degrees.  shift_px: (tilt,), pixels the content of the
    sinogram moves along v.
    Source: P. M. Joseph, IEEE Trans. Med. Imaging 1 (1982) 192.
    """
    angles = np.atleast_1d(np.asarray(angles_deg, np.float64))
    shifts = np.broadcast_to(np.asarray(shift_px, np.float64), angles.shape)
    depth, height = shape_zy
    z, y, v = centred(depth), centred(height), centred(detector_count)
    blocks = []
    for angle, shift in zip(angles, shifts, strict=True):
        c, s = _cos_sin(float(angle))
        ray = (v - shift)[:, None]
        if abs(c) >= abs(s) - _TINY:
            position = (ray + z * s) / c + (height - 1) / 2
            tap, weight = _linear_taps(position, height)
            tap += height * np.arange(depth)[:, None]
            length = 1 / abs(c)
        else:
            position = (y * c - ray) / s + (depth - 1) / 2
            tap, weight = _linear_taps(position, depth)
            tap = tap * height + np.arange(height)[:, None]
            length = 1 / abs(s)
        rows = (detector_count, -1)
        flat = (tap.reshape(rows), length * weight.reshape(rows))
        blocks.append(csr_from_taps(*flat, depth * height, dtype))
    return sparse.vstack(blocks, format="csr")


def backprojection_matrix(
    angles_deg: ArrayLike,
    shape_zy: tuple[int, int],
    detector_count: int,
    shift_px: ArrayLike = 0.0,
    tilt_weights: ArrayLike = 1.0,
    dtype: Any = np.float32,
) -> Any:
    """Return the voxel-driven back-projector, CSR (z * y, tilt * v), int32.

    Each voxel reads every projection at the place it lands on, linearly interpolated,
    times ``tilt_weights``.  For filtered back-projection: unlike the transpose of
    `joseph_matrix` it carries no ripple; it is not an adjoint.
    """
    angles = np.atleast_1d(np.asarray(angles_deg, np.float64))
    shifts = np.broadcast_to(np.asarray(shift_px, np.float64), angles.shape)
    scales = np.broadcast_to(np.asarray(tilt_weights, np.float64), angles.shape)
    depth, height = shape_zy
    z, y = centred(depth)[:, None], centred(height)
    blocks = []
    for angle, shift, scale in zip(angles, shifts, scales, strict=True):
        c, s = _cos_sin(float(angle))
        position = y * c - z * s + shift + (detector_count - 1) / 2
        tap, weight = _linear_taps(position.ravel(), detector_count)
        blocks.append(csr_from_taps(tap, scale * weight, detector_count, dtype))
    return sparse.hstack(blocks, format="csr")


def tilt_weights(angles_deg: ArrayLike) -> FloatArray:
    """Return the (tilt,) angle in radians every tilt stands for, any order.

    Half the way to either neighbour on the half circle.  The missing wedge belongs to
    nobody: the largest gap, where it is above 10 degrees and three median steps.
    Equal tilts, however many, share what one of them would stand for.
    """
    angles = np.atleast_1d(np.asarray(angles_deg, np.float64))
    folded = np.mod(angles, 180.0)
    order = np.argsort(folded, kind="stable")
    gaps = np.diff(folded[order], append=folded[order[0]] + 180.0)
    first = np.roll(gaps > _SAME_DEG, 1)  # of those that are equal
    steps = np.diff(folded[order][first], append=folded[order][first][0] + 180.0)
    step = float(np.median(steps))
    if steps.max() > max(3 * step, 10.0):
        steps[np.argmax(steps)] = step
    group = (np.cumsum(first) - 1) % len(steps)  # just below 180 goes with 0
    shares = (steps + np.roll(steps, 1)) / 2 / np.bincount(group)
    weights = np.empty(len(angles))
    weights[order] = shares[group]
    return np.deg2rad(weights)


def ramp_response(count: int, name: FilterName = "ramp") -> FloatArray:
    """Return the response of a reconstruction filter, for ``rfft`` of zero-padded rows.

    count: length of a row in pixels.  The result has ``padded // 2 + 1`` values with
    ``padded = 2 * (len(result) - 1)`` at least ``2 * count``: pad the rows to that.
    The ramp is the transform of its band-limited kernel, so that means are right.
    Source: Kak and Slaney, Principles of Computerized Tomographic Imaging, eq. 3.61.
    """
    padded = max(64, 1 << int(np.ceil(np.log2(2 * count))))
    offset = np.minimum(np.arange(padded), padded - np.arange(padded))
    odd = offset % 2 == 1
    kernel = np.zeros(padded)
    kernel[0] = 0.25
    kernel[odd] = -1 / (np.pi * offset[odd]) ** 2
    response = np.fft.rfft(kernel).real
    frequency = np.fft.rfftfreq(padded)
    if name == "ramp":
        return response
    windows = {
        "shepp-logan": np.sinc(frequency),
        "cosine": np.cos(np.pi * frequency),
        "hamming": 0.54 + 0.46 * np.cos(2 * np.pi * frequency),
        "hann": 0.5 + 0.5 * np.cos(2 * np.pi * frequency),
    }
    return np.asarray(response * windows[name])
