"""Tilt series of Gaussian balls, placed by the project's own geometry."""

from __future__ import annotations

import numpy as np

from napari_inr_tomo.geometry import align_gauge, centred, project_points
from napari_inr_tomo.types import Poses, TiltSeries


def render(points_xyz, sigmas, weights, angles_deg, poses, shape_yx):
    """Return exact (tilt, y, x) projections of Gaussian balls."""
    landed = project_points(points_xyz, angles_deg, poses)
    y, x = centred(shape_yx[0]), centred(shape_yx[1])
    images = np.zeros((len(angles_deg), *shape_yx))
    for k, (sigma, weight) in enumerate(zip(sigmas, weights, strict=True)):
        row = np.exp(-((y - landed[:, k, 1, None]) ** 2) / (2 * sigma**2))
        column = np.exp(-((x - landed[:, k, 0, None]) ** 2) / (2 * sigma**2))
        images += weight * row[:, :, None] * column[:, None, :]
    return images


def ball_series(
    angles_deg,
    axis_deg=0.0,
    axis_shift_px=0.0,
    jitter_px=0.0,
    shape_yx=(73, 84),
    count=10,
    spread_px=20.0,
    noise=0.01,
    seed=0,
    order=None,
):
    """Return a misaligned series (poses zero) and the poses that made it."""
    rng = np.random.default_rng(seed)
    angles = np.asarray(angles_deg, float)
    if order is not None:
        angles = angles[order]
    psi = np.deg2rad(axis_deg)
    across = np.array([-np.sin(psi), np.cos(psi)])
    shifts = jitter_px * rng.normal(size=(len(angles), 2)) + axis_shift_px * across
    dx, dy = shifts.T
    one = np.ones(len(angles))
    truth = Poses(-axis_deg * one, axis_deg * one, dx, dy)
    points = rng.normal(size=(count, 3))
    points *= (rng.uniform(0, 1, count) ** (1 / 3) / np.linalg.norm(points, axis=1))[
        :, None
    ] * spread_px
    sigmas = rng.uniform(1.5, 3.5, count)
    images = render(points, sigmas, sigmas, angles, truth, shape_yx)
    images += noise * images.max() * rng.normal(size=images.shape)
    return TiltSeries(images + 5, angles), truth


def shift_error_px(series, truth):
    """Return the rms error of the shifts after the gauge is aligned."""
    poses = align_gauge(series.angles_deg, series.start_poses, truth)
    error = np.stack([poses.dx_px - truth.dx_px, poses.dy_px - truth.dy_px])
    return float(np.sqrt(np.mean(error**2)))
