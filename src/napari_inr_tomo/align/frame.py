"""The frame of the tilt axis: images resampled along and across it, for the moment.

A point p of an image, in pixels about its centre, has in this frame the coordinates
``along = u . (p - d)`` and ``across = v . (p - d)`` with the shift d = (dx, dy) of its
tilt, u = (cos psi, sin psi) along the axis and v = (-sin psi, cos psi) across it.  With
right poses a point of the object keeps ``along``, and ``across`` follows
``y cos(theta) - z sin(theta)`` (see `napari_inr_tomo.geometry`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_inr_tomo.passes import pass_axes
from napari_inr_tomo.types import FloatArray, Poses, Step, TiltSeries


def axis_directions(axis_deg: float) -> tuple[FloatArray, FloatArray]:
    """Return the unit vectors (x, y) along the axis and across it."""
    c, s = np.cos(np.deg2rad(axis_deg)), np.sin(np.deg2rad(axis_deg))
    return np.array([c, s]), np.array([-s, c])


def shifts_xy(poses: Poses) -> FloatArray:
    """Return (tilt, 2) float64: dx, dy in pixels."""
    return np.stack([poses.dx_px, poses.dy_px], axis=1)


def current_axis(series: TiltSeries) -> tuple[float, float]:
    """Return the axis the poses describe: its angle in degrees, its shift in px.

    The shift is the component across the axis of the reference tilt's shift: how far
    from the centre of that image the axis passes, positive towards +y turned by the
    axis angle (towards +y for an axis along x).
    """
    axis_deg = series.start_poses.axis_deg
    across = axis_directions(axis_deg)[1]
    return axis_deg, float(shifts_xy(series.start_poses)[series.reference] @ across)


def with_axis(series: TiltSeries, axis_deg: float, shift_px: float) -> Poses:
    """Return the poses of the series with another axis.

    The shifts of all tilts relative to the reference tilt stay; the shift of the
    reference tilt becomes ``shift_px`` across the axis.  So doing it again with other
    numbers gives what doing it once would have given.  Every pass keeps what its axis
    deviates from the mean of all.
    """
    shifts = shifts_xy(series.start_poses)
    across = axis_directions(axis_deg)[1]
    moved = shifts - shifts[series.reference] + shift_px * across
    axes = np.full(len(series), axis_deg)
    if series.group is not None:
        axes += pass_axes(series.start_poses, series.groups)
        axes -= series.start_poses.axis_deg
    return Poses(-axes, axes, moved[:, 0], moved[:, 1])


def set_tilt_axis(
    series: TiltSeries, axis_deg: float, shift_px: float = 0.0
) -> TiltSeries:
    """Return the series with its tilt axis put where the two numbers say.

    axis_deg: angle psi of the axis in the image, degrees, from +x towards +y (clockwise
    on screen); every tilt gets z1 = -psi, z3 = +psi.  Passes keep what their axes
    differ by; the angle is the mean.
    shift_px: distance in pixels of the axis from the centre of the reference image,
    measured across the axis, positive towards +y turned by psi.
    Shifts of the tilts relative to the reference tilt, as found by cross-correlation,
    are kept.  A second call replaces the first.
    """
    poses = with_axis(series, float(axis_deg), float(shift_px))
    parameters = {"axis_deg": float(axis_deg), "shift_px": float(shift_px)}
    return series.evolve(Step("set_tilt_axis", parameters), poses=poses)


def resample(
    image: NDArray[np.floating],
    axis_deg: float,
    shift_xy: FloatArray,
    across_scale: float = 1.0,
    pivot_px: float = 0.0,
) -> FloatArray:
    """Return the image (y, x) in the frame of the axis: rows across, columns along.

    The content is scaled by ``across_scale`` across the axis about the line
    ``across = pivot_px``.  Outside the image is 0.
    """
    along, across = axis_directions(axis_deg)
    rows, columns = image.shape
    centre = np.array([(rows - 1) / 2, (columns - 1) / 2])
    matrix = np.array(
        [[across[1] / across_scale, along[1]], [across[0] / across_scale, along[0]]]
    )
    pivot = pivot_px * (1 - 1 / across_scale) * across[::-1]
    offset = centre + shift_xy[::-1] + pivot - matrix @ centre
    return np.asarray(
        ndimage.affine_transform(
            np.asarray(image, np.float64), matrix, offset, order=1, mode="constant"
        )
    )


def edge_window(shape_yx: tuple[int, int], width: float = 0.15) -> FloatArray:
    """Return (y, x) weights that fall to 0 at the edges over a share of each side."""
    sides = []
    for count in shape_yx:
        distance = (0.5 + np.minimum(np.arange(count), np.arange(count)[::-1])) / count
        sides.append(np.sin(np.pi / 2 * np.clip(distance / width, 0, 1)) ** 2)
    return np.outer(*sides)


def border_level(image: NDArray[np.floating]) -> float:
    """Return the median of the outermost pixels: the level around a specimen."""
    ring = np.concatenate([image[0], image[-1], image[1:-1, 0], image[1:-1, -1]])
    return float(np.median(ring))


def filled_images(series: TiltSeries) -> NDArray[np.float32]:
    """Return the images with invalid pixels replaced by their image's median."""
    if series.valid is None:
        return series.images
    images = series.images.copy()
    for image, valid in zip(images, series.valid, strict=True):
        image[~valid] = np.median(image[valid]) if valid.any() else 0.0
    return images


def shifted(
    series: TiltSeries, shifts: FloatArray, step: Step, **more: Any
) -> TiltSeries:
    """Return the series with new shifts (tilt, 2) dx, dy and one line of history."""
    poses = replace(series.start_poses, dx_px=shifts[:, 0], dy_px=shifts[:, 1])
    return series.evolve(step, poses=poses, **more)
