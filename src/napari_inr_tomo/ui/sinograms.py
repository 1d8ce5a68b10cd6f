"""One line of the detector against the tilt, measured and computed; arrays only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_inr_tomo import geometry
from napari_inr_tomo.types import Poses
from napari_inr_tomo.ui.slicing import CHUNK, MOST_SIDE, Shown


@dataclass(frozen=True, eq=False)
class Sinogram:
    """The tilts in the order of their angle, (row, v) each; v across the tilt axis.

    tilts: (row,) index in the stack; used: (row,) bool; v_px: (v,) about the centre.
    computed: None without a volume; NaN for tilts that are not used.
    """

    tilts: np.ndarray
    angles_deg: np.ndarray
    used: np.ndarray
    v_px: np.ndarray
    measured: np.ndarray
    computed: np.ndarray | None = None

    @property
    def residual(self) -> np.ndarray | None:
        """Measured minus computed."""
        return None if self.computed is None else self.measured - self.computed

    @property
    def outside(self) -> bool:
        """Whether the line misses all used images."""
        return not np.isfinite(self.measured[self.used]).any()

    @property
    def share(self) -> float | None:
        """Root mean square of the residual over that of the used tilts."""
        if self.computed is None or self.outside:
            return None
        power = np.sqrt(np.nanmean(self.measured[self.used] ** 2))
        rest = np.sqrt(np.nanmean(self.residual[self.used] ** 2))
        return float(rest / max(power, 1e-30))


def detector_lines(
    poses: Poses, u_px: float, v_px: np.ndarray, follow: bool
) -> np.ndarray:
    """Return (tilt, v, 2): x, y on the detector about its centre, px.

    follow: the line lies across the tilt axis as the poses say and moves with their
    shifts, at ``u_px`` along the axis; else it is the column ``u_px`` of every image.
    """
    count = len(poses)
    if not follow:
        line = np.stack([np.full(len(v_px), u_px), v_px], axis=-1)
        return np.broadcast_to(line, (count, *line.shape))
    turn = np.deg2rad(poses.z3_deg)[:, None]
    c, s = np.cos(turn), np.sin(turn)
    x = u_px * c - v_px * s + poses.dx_px[:, None]
    y = u_px * s + v_px * c + poses.dy_px[:, None]
    return np.stack([x, y], axis=-1)


def sinogram(
    images: np.ndarray,
    angles_deg: np.ndarray,
    used: np.ndarray,
    poses: Poses,
    u_px: float,
    follow: bool,
    volume: Shown | None = None,
) -> Sinogram:
    """Return the sinogram of a stack (tilt, y, x), and that of a volume beside it."""
    order = np.argsort(angles_deg, kind="stable")
    height = images.shape[1]
    block = -(-height // MOST_SIDE)
    count = height // block
    v_px = (np.arange(count) + 0.5) * block - height / 2
    fine = np.arange(count * block) + 0.5 - height / 2
    ordered = poses.take(order)
    lines = detector_lines(ordered, u_px, fine, follow)
    rows = [
        _along(np.asarray(images[tilt], np.float32), line)
        for tilt, line in zip(order, lines, strict=True)
    ]
    measured = np.array(rows).reshape(len(order), count, block).mean(axis=-1)
    computed = None
    if volume is not None:
        computed = np.full(measured.shape, np.nan, np.float32)
        lines = detector_lines(ordered, u_px, v_px, follow)
        for row in np.flatnonzero(used[order]):
            one = ordered.take([row])
            computed[row] = _projected(volume, angles_deg[order[row]], one, lines[row])
    return Sinogram(order, angles_deg[order], used[order], v_px, measured, computed)


def _along(image: np.ndarray, line: np.ndarray) -> np.ndarray:
    """Return the values of (y, x) at (v, 2) x, y about the centre; NaN outside."""
    from scipy.ndimage import map_coordinates

    middle = (np.array(image.shape) - 1) / 2
    index = (line[:, ::-1] + middle).T
    return map_coordinates(image, index, order=1, mode="constant", cval=np.nan)


def _projected(
    volume: Shown, angle_deg: float, pose: Poses, line: np.ndarray
) -> np.ndarray:
    """Return (v,): the sums along the rays through (v, 2) points of the detector."""
    turn = geometry.object_to_detector(pose.z1_deg, np.array([angle_deg]), pose.z3_deg)
    half = np.linalg.norm(volume.shape_zyx) / 2
    depth = np.arange(-half, half + volume.voxel_px, volume.voxel_px)
    x, y = (line - np.array([pose.dx_px[0], pose.dy_px[0]])).T
    sums = np.empty(len(line), np.float32)
    step = max(1, CHUNK // len(depth))
    for start in range(0, len(line), step):
        part = slice(start, start + step)
        points = np.empty((len(x[part]), len(depth), 3))
        points[..., 0], points[..., 1] = x[part, None], y[part, None]
        points[..., 2] = depth
        sums[part] = volume.at(points @ turn[0]).sum(axis=-1) * volume.voxel_px
    return sums
