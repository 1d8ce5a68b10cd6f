"""Finds shifts and the tilt axis on a coarse classical volume, in seconds.

In turns, the volume is reconstructed at the present poses (SIRT with momentum) and all
poses take one Gauss-Newton step towards the measured images: dx and dy of every tilt
and one angle of the tilt axis.  The images are blurred to what the coarse grid can
hold, and sampled anew at the present poses; otherwise what the grid cannot hold pulls
the axis aside.  So does noise in the empty surroundings, which the volume would fit:
beyond the first level the visual hull keeps them empty.  The network refines the
result later with exact rays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from napari_inr_tomo import geometry
from napari_inr_tomo.classic.hull import hull
from napari_inr_tomo.classic.projector import Projector
from napari_inr_tomo.classic.sirt import sirt
from napari_inr_tomo.types import FloatArray, Poses

STAGES = ((32, 20, 25), (48, 60, 12), (64, 100, 8))
"""Longest edge of the coarse images, SIRT iterations for each step, most steps.

Few iterations come near fast: the volume cannot yet explain wrong poses.  Their end
point is off by some tenths of a degree, which many iterations mend."""
BLUR_PX = 1.0
"""Width of the blur, in coarse pixels."""
MARGIN = 0.125
"""The box is wider than the images by this share on each side: what a shift brings
into the field must have a place to come from."""
LARGEST_TURN_DEG, LARGEST_SHIFT_PX = 3.0, 2.0
"""Most that one step may change (shifts in coarse pixels)."""
SETTLED_DEG, SETTLED_PX = 0.01, 0.005
"""A level ends when a step changes less (rms)."""
STILL_PX = 0.1
"""Shifts that change less (rms) no longer disturb the search for the axis."""
LARGEST_STRETCH = 12.0
"""Most that a turn of the axis is stretched, see `_Stretch`."""


@dataclass(frozen=True)
class _Level:
    """A coarse view of the stack; ``factor`` pixels of the input make one of it.

    images: (tilt, y, x), blurred, sampled twice as finely as the coarse grid.
    valid: same shape, 1.0 where pixels count.
    projector: of the coarse box, in the frame where the tilt axis is x.
    carved: whether the poses are near enough for a visual hull.
    """

    images: Tensor
    valid: Tensor
    factor: float
    projector: Projector
    carved: bool


def find_poses(
    images: NDArray[np.float32],
    angles_deg: FloatArray,
    start: Poses,
    reference: int,
    depth_px: int,
    valid: NDArray[np.bool_] | None = None,
    device: torch.device | None = None,
    report: Callable[[Poses, Tensor, float, float, int], bool] | None = None,
    stages: Sequence[tuple[int, int, int]] = STAGES,
    frozen: ArrayLike = (),
    carve: bool = True,
) -> Poses:
    """Return poses found from ``start``: common axis turn, and dx, dy of every tilt.

    images: (tilt, y, x), normalised.  valid: same shape, False where to be ignored.
    report: called after each step with the poses, the coarse (z, y, x) volume in the
    frame of the tilt axis, the edge of its voxels in pixels, its relative residual and
    the number of steps so far; True ends the search.  stages: see `STAGES`.
    frozen: indices of tilts that keep their start pose.  carve: use the visual hull.
    """
    device = device or torch.device("cpu")
    poses, done = start, 0
    for size, iterations, steps in stages:
        edge = min(size, max(images.shape[1:]))
        carved = carve and size > STAGES[0][0]
        level = _level(images, valid, edge, depth_px, angles_deg, poses, device, carved)
        stretch = _Stretch()
        for _ in range(steps):
            moved, volume, residual, change = _step(level, poses, iterations, stretch)
            poses, _ = geometry.fix_gauge(
                angles_deg, moved, _turned(start, moved), reference
            )
            poses = _held(poses, start, frozen)
            done += 1
            if report is not None and report(
                poses, volume, level.factor, residual, done
            ):
                return poses
            if change[0] < SETTLED_DEG and change[1] < SETTLED_PX:
                break
    return poses


class _Stretch:
    """Makes the turns of the axis as long as they need to be.

    The volume was made with the present axis and agrees with it, so a turn that takes
    the volume as given falls short by a factor that changes little from step to step.
    Two steps tell it (secant method on the turn as a function of the axis).
    """

    def __init__(self) -> None:
        self.factor = 1.0
        self._last: tuple[float, float] | None = None

    def __call__(self, turn: float, settled: bool) -> float:
        """Return the turn to take for the one found, in degrees.

        settled: the shifts hardly move any more, so the turn depends on the axis alone.
        """
        if settled and self._last is not None:
            found, taken = self._last
            if abs(taken) > 1e-3:
                slope = (found - turn) / taken
                self.factor = float(np.clip(1 / max(slope, 1e-3), 1, LARGEST_STRETCH))
        taken = float(np.clip(self.factor * turn, -LARGEST_TURN_DEG, LARGEST_TURN_DEG))
        self._last = (turn, taken) if settled else None
        return taken


def _held(poses: Poses, start: Poses, frozen: ArrayLike) -> Poses:
    """Return the poses with those of the frozen tilts as they were at the start."""
    table, held = poses.as_array().copy(), np.asarray(frozen, int).reshape(-1)
    table[held] = start.as_array()[held]
    return Poses.from_array(table)


def _turned(start: Poses, moved: Poses) -> Poses:
    """Return the start with the rotations of ``moved``: the gauge holds the shifts."""
    return Poses(moved.z1_deg, moved.z3_deg, start.dx_px, start.dy_px)


def _level(
    images: NDArray[np.float32],
    valid: NDArray[np.bool_] | None,
    size: int,
    depth_px: int,
    angles_deg: FloatArray,
    poses: Poses,
    device: torch.device,
    carved: bool,
) -> _Level:
    """Blur the stack for a grid whose longest edge has ``size`` pixels."""
    factor = max(images.shape[1:]) / size
    values = images if valid is None else np.where(valid, images, 0)
    usable = np.ones(images.shape, bool) if valid is None else valid
    blurred, share = np.asarray(values, np.float32), usable.astype(np.float32)
    for axis in (1, 2):
        blurred = gaussian_filter1d(
            blurred, BLUR_PX * factor, axis=axis, mode="nearest"
        )
        blurred = _sampled(blurred, axis, factor / 2)
        share = _sampled(share, axis, factor / 2)
    turn = np.deg2rad(poses.axis_deg)
    c, s = abs(np.cos(turn)), abs(np.sin(turn))
    height, width = images.shape[1:]
    grow = 1 + 2 * MARGIN
    frame = (
        max(4, round(grow * (c * height + s * width) / factor)),
        max(4, round(grow * (s * height + c * width) / factor)),
    )
    depth = max(4, round(depth_px / factor))
    return _Level(
        torch.from_numpy(np.ascontiguousarray(blurred)).to(device),
        (torch.from_numpy(np.ascontiguousarray(share)) > 0.99).float().to(device),
        factor,
        Projector(angles_deg, Poses.zeros(len(angles_deg)), frame, depth, device),
        carved,
    )


def _sampled(
    values: NDArray[np.float32], axis: int, factor: float
) -> NDArray[np.float32]:
    """Sample an axis linearly every ``factor`` pixels, symmetric about its middle."""
    count = values.shape[axis]
    coarse = max(4, round(count / factor))
    place = geometry.centred(coarse) * factor + (count - 1) / 2
    place = np.clip(place, 0, count - 1)
    low = np.minimum(np.floor(place).astype(int), max(count - 2, 0))
    shape = [1, 1, 1]
    shape[axis] = coarse
    share = (place - low).astype(np.float32).reshape(shape)
    high = np.minimum(low + 1, count - 1)
    lower, upper = np.take(values, low, axis), np.take(values, high, axis)
    return np.asarray((1 - share) * lower + share * upper, np.float32)


def _in_axis_frame(level: _Level, poses: Poses) -> tuple[Tensor, Tensor]:
    """Return images and validity at the present poses, the tilt axis along x.

    Turned and moved back in one interpolation from the finer images.  Deviations of z1
    from its mean count as turns of the image, which they are near 0 degrees.
    """
    shape = level.projector.shape_tyx
    table = torch.as_tensor(poses.as_array()).to(level.images)
    turn = torch.deg2rad(table[:, 1] + table[:, 0] - table[:, 0].mean())
    c, s = torch.cos(turn)[:, None, None], torch.sin(turn)[:, None, None]
    u = torch.as_tensor(geometry.centred(shape[2])).to(c) * level.factor
    v = torch.as_tensor(geometry.centred(shape[1])).to(c) * level.factor
    x = c * u[None, None, :] - s * v[None, :, None] + table[:, 2, None, None]
    y = s * u[None, None, :] + c * v[None, :, None] + table[:, 3, None, None]
    height, width = level.images.shape[1:]
    fine = level.factor / 2
    grid = torch.stack(
        [x / fine / ((width - 1) / 2), y / fine / ((height - 1) / 2)], -1
    )
    sample = torch.nn.functional.grid_sample
    images = sample(level.images[:, None], grid, mode="bicubic", align_corners=True)
    valid = sample(level.valid[:, None], grid, align_corners=True)
    return images[:, 0], valid[:, 0] > 0.99


def _step(
    level: _Level, poses: Poses, iterations: int, stretch: _Stretch
) -> tuple[Poses, Tensor, float, tuple[float, float]]:
    """Reconstruct and take one Gauss-Newton step; return what changed (deg, px)."""
    images, valid = _in_axis_frame(level, poses)
    volume = sirt(
        level.projector,
        images,
        iterations=iterations,
        valid=valid,
        momentum=True,
        support=hull(level.projector, images, valid) if level.carved else None,
    )
    predicted = level.projector.forward(volume)
    weight = valid * _window(valid)
    residual = weight * (images - predicted)
    slopes = weight[..., None] * _derivatives(level.projector, volume, predicted)
    turn, shift = _solve(residual, slopes)
    moved_px = float(np.sqrt(np.mean(shift**2))) * level.factor
    turn = stretch(turn, moved_px < STILL_PX)
    angle = np.deg2rad(poses.z3_deg)
    c, s = np.cos(angle), np.sin(angle)
    new = Poses(
        poses.z1_deg - turn,
        poses.z3_deg + turn,
        poses.dx_px + (c * shift[:, 0] - s * shift[:, 1]) * level.factor,
        poses.dy_px + (s * shift[:, 0] + c * shift[:, 1]) * level.factor,
    )
    misfit = float(residual.norm() / (weight * images).norm().clamp(min=1e-12))
    return new, volume, misfit, (abs(turn), moved_px)


def _window(valid: Tensor) -> Tensor:
    """Return (tilt, y, x) weights that fade to zero towards ignored pixels."""
    ignored = (~valid).float()[:, None]
    near = torch.nn.functional.avg_pool2d(ignored, 5, 1, 2, count_include_pad=False)
    return (1 - 2 * near[:, 0]).clamp(min=0)


def _derivatives(projector: Projector, volume: Tensor, predicted: Tensor) -> Tensor:
    """Return (tilt, y, x, 3): d predicted / d dx, d dy (px), d axis angle (deg)."""
    slope_y, slope_x = torch.gradient(predicted, dim=(1, 2))
    height, width = predicted.shape[1:]
    u = torch.as_tensor(geometry.centred(width)).to(predicted)
    v = torch.as_tensor(geometry.centred(height)).to(predicted)
    turn_image = v[:, None] * slope_x - u[None, :] * slope_y
    volume_y, volume_x = torch.gradient(volume, dim=(1, 2))
    turn_volume = v[:, None] * volume_x - u[None, :] * volume_y
    turn = (turn_image - projector.forward(turn_volume)) * (np.pi / 180)
    return torch.stack([-slope_x, -slope_y, turn], -1)


def _solve(residual: Tensor, slopes: Tensor) -> tuple[float, FloatArray]:
    """Solve the normal equations: shifts per tilt, one common turn (Schur)."""
    count = len(residual)
    right = residual.reshape(count, -1, 1).double()
    left = slopes.reshape(count, -1, 3).double()
    normal = left.transpose(1, 2) @ left
    gradient = (left.transpose(1, 2) @ right)[..., 0]
    mean = normal[:, :2, :2].diagonal(dim1=1, dim2=2).mean()
    ridge = (1e-3 * mean + 1e-12) * torch.eye(2).to(normal)
    inverse = torch.linalg.inv(normal[:, :2, :2] + ridge)
    cross = normal[:, :2, 2:]
    power = normal[:, 2, 2] - (cross.transpose(1, 2) @ inverse @ cross)[:, 0, 0]
    force = (
        gradient[:, 2]
        - (cross.transpose(1, 2) @ inverse @ gradient[:, :2, None])[:, 0, 0]
    )
    turn = float(force.sum() / power.sum().clamp(min=1e-12))
    turn = float(np.clip(turn, -LARGEST_TURN_DEG, LARGEST_TURN_DEG))
    shift = (inverse @ (gradient[:, :2, None] - turn * cross))[..., 0].cpu().numpy()
    return turn, np.clip(shift, -LARGEST_SHIFT_PX, LARGEST_SHIFT_PX)
