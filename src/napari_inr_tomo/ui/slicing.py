"""What the Slices and Tilts docks show, computed in worker threads; arrays only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_inr_tomo import geometry
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.planes import Plane
from napari_inr_tomo.types import Poses

MOST_SIDE = 256
"""Projections are computed on at most this many pixels a side."""
CHUNK = 1 << 20


@dataclass(frozen=True, eq=False)
class Shown:
    """A volume as it is shown: (z, y, x), and the edge of its voxels in pixels."""

    data: np.ndarray
    voxel_px: float = 1.0

    @property
    def shape_zyx(self) -> tuple[int, int, int]:
        """Size of the box in pixels (of the images, not voxels)."""
        z, y, x = (max(1, round(n * self.voxel_px)) for n in self.data.shape)
        return z, y, x

    def at(self, points_xyz: np.ndarray) -> np.ndarray:
        """Return the values at (..., 3) x, y, z in px about the centre; 0 outside."""
        from scipy.ndimage import map_coordinates

        middle = (np.array(self.data.shape) - 1) / 2
        index = np.moveaxis(points_xyz[..., ::-1] / self.voxel_px + middle, -1, 0)
        data = np.asarray(self.data, np.float32)
        # interpolates towards the outside, so that no ray loses the ends of its way
        return map_coordinates(
            data, index, order=1, mode="grid-constant", output=np.float32
        )


def sample(volume: Shown, planes: tuple[Plane, ...]) -> list[np.ndarray]:
    """Return the (row, column) values in planes, linear between the voxels."""
    return [volume.at(plane.points()) for plane in planes]


def power_spectrum(image: np.ndarray) -> np.ndarray:
    """Return the logarithm of the power of an image, zero frequency in the middle.

    A Hann window keeps the edges of the image out of it.
    """
    rows, columns = image.shape
    window = np.hanning(rows)[:, None] * np.hanning(columns)
    spectrum = np.fft.fftshift(np.fft.fft2((image - image.mean()) * window))
    power = np.abs(spectrum) ** 2
    return np.log10(power + 1e-9 * max(float(power.max()), 1e-30)).astype(np.float32)


def cut(volume: Shown, planes: tuple[Plane, ...]) -> Any:
    """Return all that was given, the samples, and the spectrum of the last of them."""
    images = sample(volume, planes)
    return volume, planes, images, power_spectrum(images[-1])


def wedge(angles_deg: np.ndarray) -> list[np.ndarray]:
    """Return the missing wedge as two triangles, (3, 2) each: across the axis, z.

    A tilt theta measures the line (cos theta, -sin theta) of the Fourier plane across
    the tilt axis (`geometry`: y' = y cos - z sin); what no tilt between the lowest and
    the highest measures is missing.  Sides have length 1.  Empty where nothing is.
    """
    low, high = float(np.min(angles_deg)), float(np.max(angles_deg))
    if high - low >= 180 - 1e-6:
        return []
    ends = np.deg2rad([high, low + 180])
    sides = np.stack([np.cos(ends), -np.sin(ends)], axis=1)
    one = np.concatenate([np.zeros((1, 2)), sides])
    return [one, -one]


def project(
    volume: Shown,
    angle_deg: float,
    pose: Poses,
    shape_yx: tuple[int, int],
    block: int = 1,
) -> np.ndarray:
    """Return the (y, x) projection of a volume at one tilt, by sampling along the rays.

    pose: of this tilt alone.  block: one value per block x block pixels.
    """
    turn = geometry.object_to_detector(pose.z1_deg, np.array([angle_deg]), pose.z3_deg)
    rows, columns = (n // block for n in shape_yx)
    v, u = (
        (np.arange(count) + 0.5) * block - n / 2
        for count, n in ((rows, shape_yx[0]), (columns, shape_yx[1]))
    )
    half = np.linalg.norm(volume.shape_zyx) / 2
    depth = np.arange(-half, half + volume.voxel_px, volume.voxel_px)
    image = np.zeros((rows, columns), np.float32)
    step = max(1, CHUNK // (columns * len(depth)))
    for start in range(0, rows, step):
        part = slice(start, start + step)
        y, x, w = np.meshgrid(
            v[part] - pose.dy_px, u - pose.dx_px, depth, indexing="ij"
        )
        points = np.stack([x, y, w], axis=-1) @ turn[0]  # row vectors: p R = R^T p
        image[part] = volume.at(points).sum(axis=-1) * volume.voxel_px
    return image


def block_means(image: np.ndarray, block: int) -> np.ndarray:
    """Return the means of block x block pixels; what is left over is cut off."""
    rows, columns = (n // block for n in image.shape)
    cut = np.asarray(image[: rows * block, : columns * block], np.float32)
    return cut.reshape(rows, block, columns, block).mean(axis=(1, 3))


@dataclass(frozen=True, eq=False)
class TiltView:
    """One tilt, measured and computed, (y, x) each, and how far they are apart."""

    measured: np.ndarray
    computed: np.ndarray

    @property
    def residual(self) -> np.ndarray:
        """Measured minus computed."""
        return self.measured - self.computed

    @property
    def share(self) -> float:
        """Root mean square of the residual over that of the image."""
        power = float(np.sqrt(np.mean(self.measured**2)))
        return float(np.sqrt(np.mean(self.residual**2))) / max(power, 1e-30)


def tilt_view(
    volume: Shown, image: np.ndarray, angle_deg: float, pose: Poses
) -> TiltView:
    """Return a measured image beside the projection of the volume at its pose."""
    block = -(-max(image.shape) // MOST_SIDE)
    height, width = image.shape
    computed = project(volume, angle_deg, pose, (height, width), block)
    return TiltView(block_means(image, block), computed)


def view_of(run: Any, shown: Shown, tilt: int, table: Any) -> tuple[int, TiltView]:
    """Return a tilt, and how the volume explains it, of a run with a table of poses.

    Raises `UserError` where the run left the tilt out.
    """
    spec = run.spec
    row = np.flatnonzero(spec.tilts == tilt)
    if not len(row):
        raise UserError(
            f"Tilt {tilt} cannot be compared",
            "it was left out of this run",
            "Choose another one",
        )
    poses = spec.original_poses if table is None else table.poses()
    image = np.asarray(run.series().images[row[0]])
    angle = float(spec.original_angles_deg[tilt])
    return tilt, tilt_view(shown, image, angle, poses.take([tilt]))
