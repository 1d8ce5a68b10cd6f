"""The offset of every line of a scan, from how it lies on an image without drift.

One Gauss-Newton step for all lines together.  Offsets of neighbours are tied to each
other by a random walk whose step is estimated from the data, so that noise is not taken
for drift, and lines without structure follow their neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.linalg import solveh_banded

from napari_inr_tomo.preprocess.scan_grid import COVERED, Grid, Scan
from napari_inr_tomo.types import BoolArray, FloatArray

_LEAST_STEP_PX = 0.003
_SEEN = 0.25
_EDGE_PX = 2


@dataclass(frozen=True, eq=False)
class LineFit:
    """What one step says about a scan.

    change_yx: (line, 2) px to add to the offsets.  seen: (line,) enough of the line
    lies where the other scans are.  residual: rms of what is left over the spread of
    the scan; step_px: the estimated step of the random walk, y and x.
    """

    change_yx: FloatArray
    seen: BoolArray
    residual: float
    step_px: tuple[float, float]


def fit_lines(
    scan: Scan,
    offsets_yx: FloatArray,
    reference: FloatArray,
    density: FloatArray,
    grid: Grid,
    blur_px: float,
    largest_px: float,
) -> LineFit:
    """Return one step of the offsets of a scan towards a reference (y, x).

    density: of the scan pixels in the reference.  blur_px: both are blurred by it, for
    a longer reach.  largest_px: most that an offset may change.
    """
    known = density > COVERED
    picture = filled(reference, known)
    covered = ndimage.binary_erosion(known, iterations=_EDGE_PX).astype(np.float64)
    if blur_px:
        picture = ndimage.gaussian_filter(picture, blur_px, mode="nearest")
    place = grid.index(scan.points(offsets_yx))

    def at(image: FloatArray, order: int = 1) -> FloatArray:
        return np.asarray(ndimage.map_coordinates(image, place, order=order, cval=0.0))

    slope = np.stack(
        [
            at(part)
            for part in (np.gradient(picture, axis=0), np.gradient(picture, axis=1))
        ],
        axis=-1,
    )
    weight = scan.weight * (at(covered) > 0.99)
    predicted = at(picture, 3)
    measured, spread = _matched(scan.blurred(blur_px).values, predicted, weight)
    left = measured - predicted
    normal = np.einsum("kj,kja,kjb->kab", weight, slope, slope)
    force = np.einsum("kj,kja,kj->ka", weight, slope, left)
    noise = float((weight * left**2).sum() / max(weight.sum(), 1.0))
    step = _walk_step(normal, force, offsets_yx, noise)
    tie = max(noise, 1e-12) / step**2
    seen = weight.mean(axis=1) > _SEEN
    change = _solve(normal, force, offsets_yx, tie, _trend(offsets_yx, seen))
    return LineFit(
        np.clip(change, -largest_px, largest_px),
        seen,
        float(np.sqrt(noise)) / spread,
        (float(step[0]), float(step[1])),
    )


def filled(image: FloatArray, known: BoolArray) -> FloatArray:
    """Return the image (y, x) with the nearest known pixel where there is none."""
    nearest = ndimage.distance_transform_edt(
        ~known, return_distances=False, return_indices=True
    )
    return np.asarray(image[tuple(nearest)])


def _matched(
    measured: FloatArray, predicted: FloatArray, weight: FloatArray
) -> tuple[FloatArray, float]:
    """Return the measured values in the units of the predicted ones, and their spread.

    Level and gain of a whole scan: the dose may change from one to the next.
    """
    total = max(float(weight.sum()), 1.0)
    mean_m, mean_p = (float((weight * v).sum()) / total for v in (measured, predicted))
    spread_m, spread_p = (
        float(np.sqrt((weight * (v - mean) ** 2).sum() / total))
        for v, mean in ((measured, mean_m), (predicted, mean_p))
    )
    gain = float(np.clip(spread_p / max(spread_m, 1e-12), 0.5, 2.0))
    return (measured - mean_m) * gain + mean_p, max(spread_p, 1e-12)


def _walk_step(
    normal: FloatArray, force: FloatArray, offsets: FloatArray, noise: float
) -> FloatArray:
    """Return the rms step (2,) px between lines that noise does not account for.

    Method of moments: the offsets that every line would take alone differ by the walk
    and by their own errors, which the normal matrices tell.
    """
    ridge = 1e-6 * np.trace(normal.mean(axis=0)) + 1e-12
    inverse = np.linalg.inv(normal + ridge * np.eye(2))
    alone = offsets + np.clip(np.einsum("kab,kb->ka", inverse, force), -3, 3)
    error = noise * np.diagonal(inverse, axis1=1, axis2=2)
    both = error[1:] + error[:-1]
    trust = 1 / (both + 1e-4)
    square = (trust * (np.diff(alone, axis=0) ** 2 - both)).sum(axis=0)
    step = np.sqrt(np.maximum(square / trust.sum(axis=0), 0))
    return np.asarray(np.maximum(step, _LEAST_STEP_PX))


def _trend(offsets: FloatArray, seen: BoolArray) -> FloatArray:
    """Return the mean drift (2,) in px a line of the lines that are seen."""
    lines = np.flatnonzero(seen)
    if len(lines) < 2:
        return np.zeros(2)
    return np.asarray(np.polyfit(lines, offsets[lines], 1)[0])


def _solve(
    normal: FloatArray,
    force: FloatArray,
    offsets: FloatArray,
    tie: FloatArray,
    trend: FloatArray,
) -> FloatArray:
    """Return the change (line, 2) that minimises misfit and steps between lines.

    trend: (2,) px, the usual step from one line to the next.
    """
    count = len(normal)
    ends = np.full(count, 2.0)
    ends[[0, -1]] = 1.0
    band = np.zeros((3, 2 * count))  # scipy's lower form, y and x in turns
    for a in (0, 1):
        band[0, a::2] = normal[:, a, a] + tie[a] * ends + 1e-9
        band[2, a::2][:-1] = -tie[a]
    band[1, 0::2] = normal[:, 0, 1]
    steps = np.diff(offsets, axis=0) - trend
    pull = np.zeros_like(offsets)
    pull[:-1] += steps
    pull[1:] -= steps
    right = (force + tie * pull).ravel()
    return np.asarray(solveh_banded(band, right, lower=True).reshape(count, 2))
