"""Simulated scans of one field with orthogonal directions and a drifting specimen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_inr_tomo.geometry import scan_positions
from napari_inr_tomo.types import FloatArray, ImageArray


@dataclass(frozen=True, eq=False)
class SimulatedScans:
    """Scans of one field, and what they were made from.

    images: one (line, pixel) float32 per scan, as the microscope stores it.
    directions_deg: fast direction of every scan, from +x towards +y.
    offsets_yx: one (line, 2) per scan: how far from its place every line was measured,
    px.  truth: (y, x) float32, the field without drift and noise.
    """

    images: tuple[ImageArray, ...]
    directions_deg: tuple[float, ...]
    offsets_yx: tuple[FloatArray, ...]
    truth: ImageArray


def simulate_scans(
    shape_yx: tuple[int, int] = (128, 128),
    directions_deg: Sequence[float] = (0.0, 90.0),
    drift_px: float = 5.0,
    jitter_px: float = 0.3,
    dose: float | None = None,
    seed: int = 0,
) -> SimulatedScans:
    """Simulate scans of a texture of Gaussian blobs, exact at every place.

    drift_px: size of the drift over one scan: a constant velocity, the same for all
    scans, and slow waves of a quarter of it.  jitter_px: standard deviation of every
    line's own offset in y and x.  dose: mean counts in a pixel; none: no noise.
    """
    rng = np.random.default_rng(seed)
    blobs = _Blobs(shape_yx, rng)
    velocity = drift_px * np.array([np.sin(1.1), np.cos(1.1)])
    images, offsets = [], []
    for direction in directions_deg:
        turned = round(direction / 90) % 2
        shape = (shape_yx[turned], shape_yx[1 - turned])
        time = np.linspace(-0.5, 0.5, shape[0])[:, None]
        phase = rng.uniform(0, 2 * np.pi, (2, 2))
        waves = sum(np.sin(2 * np.pi * k * time + phase[k - 1]) / k for k in (1, 2))
        offset = velocity * time + drift_px / 4 * waves
        offset += rng.normal(0, jitter_px, offset.shape)
        image = blobs(scan_positions(shape, direction) + offset[:, None])
        if dose is not None:
            image = rng.poisson(image * dose) / dose
        images.append(image.astype(np.float32))
        offsets.append(offset)
    truth = blobs(scan_positions(shape_yx, 0.0)).astype(np.float32)
    return SimulatedScans(
        tuple(images), tuple(map(float, directions_deg)), tuple(offsets), truth
    )


class _Blobs:
    """Gaussian blobs on a level, of mean about 1, over and around a field."""

    def __init__(self, shape_yx: tuple[int, int], rng: np.random.Generator) -> None:
        half = np.array(shape_yx) / 2 + 16
        count = round(4 * half[0] * half[1] / 60)
        self._place = rng.uniform(-half, half, (count, 2))
        self._width = rng.uniform(1.5, 4.0, count)
        self._height = rng.uniform(0.2, 1.0, count)

    def __call__(self, points_yx: FloatArray) -> FloatArray:
        """Return the intensity at (..., 2) points."""
        values = np.full(points_yx.shape[:-1], 0.2)
        for place, width, height in zip(
            self._place, self._width, self._height, strict=True
        ):
            near = np.abs(points_yx - place).max(axis=-1) < 5 * width
            square = ((points_yx[near] - place) ** 2).sum(axis=-1)
            values[near] += height * np.exp(-square / (2 * width**2))
        return values
