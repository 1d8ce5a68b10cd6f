"""Finds shifts and the tilt axis on a coarse classical volume, in seconds.

In turns, the volume is reconstructed at the present poses (SIRT with momentum) and all
poses take one Gauss-Newton step towards the measured images: dx and dy of every tilt
and one angle of the tilt axis.  The images are blurred to what the coarse grid can
hold; otherwise what it cannot hold pulls the axis aside.  The network refines the
result later with exact rays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from napari_inr_tomo import geometry
from napari_inr_tomo.classic.projector import Projector
from napari_inr_tomo.classic.sirt import sirt
from napari_inr_tomo.types import FloatArray, Poses

COARSE_PX = (32, 64)
"""Longest edge of the images at each level."""
BLUR_PX = 1.0
"""Width of the blur, in coarse pixels."""
MARGIN = 0.125
"""The box is wider than the images by this share on each side: what a shift brings
into the field must have a place to come from."""
STEPS = 30
"""Most Gauss-Newton steps on a level."""
LARGEST_TURN_DEG, LARGEST_SHIFT_PX = 3.0, 2.0
"""Most that one step may change (shifts in coarse pixels)."""
SETTLED_DEG, SETTLED_PX = 0.01, 0.005
"""A level ends when a step changes less (rms)."""


@dataclass(frozen=True)
class _Level:
    """A coarse copy of the stack; ``factor`` pixels of the input make one of it."""

    images: Tensor
    valid: Tensor
    factor: float
    depth: int
    iterations: int


def find_poses(
    images: NDArray[np.float32],
    angles_deg: FloatArray,
    start: Poses,
    reference: int,
    depth_px: int,
    valid: NDArray[np.bool_] | None = None,
    device: torch.device | None = None,
    report: Callable[[Poses, Tensor, float, int], bool] | None = None,
) -> Poses:
    """Return poses found from ``start``: common axis turn, and dx, dy of every tilt.

    images: (tilt, y, x), normalised.  valid: same shape, False where to be ignored.
    report: called after each step with the poses, the coarse (z, y, x) volume, its
    relative residual and the number of steps so far; True ends the search.
    """
    device = device or torch.device("cpu")
    poses, done = start, 0
    sizes = [s for s in COARSE_PX if s <= max(images.shape[1:])] or [COARSE_PX[0]]
    for number, size in enumerate(sizes):
        level = _coarse(images, valid, size, depth_px, 20 if number == 0 else 30)
        level = _Level(
            level.images.to(device),
            level.valid.to(device),
            level.factor,
            level.depth,
            level.iterations,
        )
        for _ in range(STEPS if number == 0 else STEPS // 4):
            moved, volume, residual, change = _step(level, angles_deg, poses)
            poses, _ = geometry.fix_gauge(
                angles_deg, moved, _turned(start, moved), reference
            )
            done += 1
            if report is not None and report(poses, volume, residual, done):
                return poses
            if change[0] < SETTLED_DEG and change[1] < SETTLED_PX:
                break
    return poses


def _turned(start: Poses, moved: Poses) -> Poses:
    """Return the start with the rotations of ``moved``: the gauge holds the shifts."""
    return Poses(moved.z1_deg, moved.z3_deg, start.dx_px, start.dy_px)


def _coarse(
    images: NDArray[np.float32],
    valid: NDArray[np.bool_] | None,
    size: int,
    depth_px: int,
    iterations: int,
) -> _Level:
    """Blur and sample the stack on a grid whose longest edge has ``size`` pixels."""
    factor = max(images.shape[1:]) / size
    values = images if valid is None else np.where(valid, images, 0)
    blurred = np.asarray(values, np.float32)
    for axis in (1, 2):
        if BLUR_PX * factor > 0.3:
            blurred = gaussian_filter1d(
                blurred, BLUR_PX * factor, axis=axis, mode="nearest"
            )
        blurred = _sampled(blurred, axis, factor)
    usable = np.ones(blurred.shape, bool)
    if valid is not None:
        share = valid.astype(np.float32)
        for axis in (1, 2):
            share = _sampled(share, axis, factor)
        usable = share > 0.99
    margin = ((0, 0), *[(round(MARGIN * n),) * 2 for n in blurred.shape[1:]])
    return _Level(
        torch.from_numpy(np.pad(blurred, margin)),
        torch.from_numpy(np.pad(usable, margin)),
        factor,
        max(4, round(depth_px / factor)),
        iterations,
    )


def _sampled(
    values: NDArray[np.float32], axis: int, factor: float
) -> NDArray[np.float32]:
    """Sample an axis linearly at coarse pixel centres, symmetric about its middle."""
    count = values.shape[axis]
    coarse = max(4, round(count / factor))
    place = geometry.centred(coarse) * factor + (count - 1) / 2
    place = np.clip(place, 0, count - 1)
    low = np.minimum(np.floor(place).astype(int), max(count - 2, 0))
    share = (place - low).astype(np.float32)
    shape = [1, 1, 1]
    shape[axis] = coarse
    share = share.reshape(shape)
    high = np.minimum(low + 1, count - 1)
    lower, upper = np.take(values, low, axis), np.take(values, high, axis)
    return np.asarray((1 - share) * lower + share * upper, np.float32)


def _step(
    level: _Level, angles_deg: FloatArray, poses: Poses
) -> tuple[Poses, Tensor, float, tuple[float, float]]:
    """Reconstruct and take one Gauss-Newton step; return what changed (deg, px)."""
    coarse = poses.scaled(1 / level.factor)
    shape_yx = (level.images.shape[1], level.images.shape[2])
    projector = Projector(
        angles_deg, coarse, shape_yx, level.depth, level.images.device
    )
    volume = sirt(
        projector,
        level.images,
        iterations=level.iterations,
        valid=level.valid,
        momentum=True,
    )
    predicted = projector.forward(volume)
    weight = level.valid * _window(level.valid)
    residual = weight * (level.images - predicted)
    slopes = weight[..., None] * _derivatives(projector, volume, predicted, coarse)
    turn, shift = _solve(residual, slopes)
    new = Poses(
        poses.z1_deg - turn,
        poses.z3_deg + turn,
        poses.dx_px + shift[:, 0] * level.factor,
        poses.dy_px + shift[:, 1] * level.factor,
    )
    misfit = float(residual.norm() / (weight * level.images).norm().clamp(min=1e-12))
    change = (abs(turn), float(np.sqrt(np.mean(shift**2))) * level.factor)
    return new, volume, misfit, change


def _window(valid: Tensor) -> Tensor:
    """Return (tilt, y, x) weights that fade to zero towards ignored pixels."""
    ignored = (~valid).float()[:, None]
    near = torch.nn.functional.avg_pool2d(ignored, 5, 1, 2, count_include_pad=False)
    return (1 - 2 * near[:, 0]).clamp(min=0)


def _derivatives(
    projector: Projector, volume: Tensor, predicted: Tensor, poses: Poses
) -> Tensor:
    """Return (tilt, y, x, 3): d predicted / d dx, d dy (px), d axis angle (deg)."""
    slope_y, slope_x = torch.gradient(predicted, dim=(1, 2))
    height, width = predicted.shape[1:]
    u = torch.as_tensor(geometry.centred(width)).to(predicted)
    v = torch.as_tensor(geometry.centred(height)).to(predicted)
    shift = torch.as_tensor(poses.as_array()).to(predicted)
    about_x = u[None, None, :] - shift[:, 2, None, None]
    about_y = v[None, :, None] - shift[:, 3, None, None]
    turn_image = about_y * slope_x - about_x * slope_y
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
