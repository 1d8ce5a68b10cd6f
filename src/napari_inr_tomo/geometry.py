"""Every sign convention of the project, in one place (see docs/conventions.md).

Coordinates are (x, y, z) in pixels about the centre of the box; array axes are
(z, y, x), y points down the screen and z along the beam.  Rotations are right-handed
in these axes.  A pose takes the object to the detector,

    r' = Rz(z3) Rx(theta) Rz(z1) r,   then the content moves by (dx, dy),

and an image is the sum over z' of the rotated object.  Source: section 4.1.2 of Lim,
Casert et al. (R(z3) R(theta) R(z1)), with the sign of theta used by ASTRA and
scikit-image: a point at z = +10 px tilted by +30 degrees lands at y = -5 px.

The functions take numpy or torch: pass the module as ``xp``.
"""

from __future__ import annotations

import math
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from napari_inr_tomo.types import FloatArray, Poses


def centred(count: int) -> FloatArray:
    """Return the (count,) coordinates of the voxel centres: ``i - (count - 1) / 2``."""
    return np.arange(count, dtype=np.float64) - (count - 1) / 2


def default_depth(shape_yx: tuple[int, int], axis_deg: float) -> int:
    """Return the depth of the box in px: the extent of the image across the tilt axis.

    The height for an axis along x, the width for one along y, between them smoothly.
    """
    angle = np.deg2rad(axis_deg)
    height, width = shape_yx
    return max(4, round(float(np.hypot(height * np.cos(angle), width * np.sin(angle)))))


def samples_through(
    angles_deg: ArrayLike, poses: Poses, shape_zyx: tuple[int, int, int]
) -> int:
    """Return how many samples a ray needs to have one per voxel at the highest tilt.

    As many as the box is deep; more where it is thin and the longest ray goes through
    it aslant, up to the extent of the field across the tilt axis: only in the corners
    of a box can a ray be longer.  A box of the default depth needs its depth.
    """
    rotation = object_to_detector(poses.z1_deg, np.asarray(angles_deg), poses.z3_deg)
    slope = np.abs(rotation[:, 2]).clip(1e-12)  # of a ray, in the object
    longest = float((np.array(shape_zyx[::-1]) / slope).min(axis=1).max())
    field = default_depth(shape_zyx[1:], poses.axis_deg)
    return max(shape_zyx[0], min(math.ceil(longest - 1e-6), field))


def _matrix(rows: list[list[Any]], xp: ModuleType) -> Any:
    return xp.stack([xp.stack(row, -1) for row in rows], -2)


def rz(angle_deg: Any, xp: ModuleType = np) -> Any:
    """Return (..., 3, 3) rotations about z; +x turns towards +y."""
    angle = xp.deg2rad(angle_deg)
    c, s, o = xp.cos(angle), xp.sin(angle), xp.zeros_like(angle)
    return _matrix([[c, -s, o], [s, c, o], [o, o, o + 1]], xp)


def rx(angle_deg: Any, xp: ModuleType = np) -> Any:
    """Return (..., 3, 3) rotations about x; +y turns towards +z."""
    angle = xp.deg2rad(angle_deg)
    c, s, o = xp.cos(angle), xp.sin(angle), xp.zeros_like(angle)
    return _matrix([[o + 1, o, o], [o, c, -s], [o, s, c]], xp)


def object_to_detector(
    z1_deg: Any, angle_deg: Any, z3_deg: Any, xp: ModuleType = np
) -> Any:
    """Return (..., 3, 3) matrices that left-multiply column vectors (x, y, z)."""
    return rz(z3_deg, xp) @ rx(angle_deg, xp) @ rz(z1_deg, xp)


def project_points(points_xyz: ArrayLike, angles_deg: ArrayLike, poses: Poses) -> Any:
    """Return where points of the object land on every detector.

    points_xyz: (point, 3), pixels about the centre of the volume.
    Returns (tilt, point, 2) float64: x, y in pixels about the centre of the image.
    """
    rotation = object_to_detector(poses.z1_deg, np.asarray(angles_deg), poses.z3_deg)
    points = np.asarray(points_xyz, np.float64)
    landed = np.einsum("tij,pj->tpi", rotation[:, :2], points)
    shift = np.stack([poses.dx_px, poses.dy_px], -1)
    return landed + shift[:, None]


def translation_shifts(
    angles_deg: ArrayLike, poses: Poses, offset_xyz: ArrayLike
) -> FloatArray:
    """Return (tilt, 2) shifts (dx, dy) that moving the object by an offset causes."""
    zero = Poses(poses.z1_deg, poses.z3_deg, 0 * poses.dx_px, 0 * poses.dy_px)
    offset = np.asarray(offset_xyz, np.float64).reshape(1, 3)
    return np.asarray(project_points(offset, angles_deg, zero)[:, 0])


def poses_about(angles_deg: ArrayLike, poses: Poses, offset_xyz: ArrayLike) -> Poses:
    """Return the poses of a part cut out of the volume and of the images.

    offset_xyz: centre of the part in the volume, in pixels about the volume's centre;
    its x and y are those of the images' part as well.
    """
    x, y, _ = np.asarray(offset_xyz, np.float64)
    dx, dy = translation_shifts(angles_deg, poses, offset_xyz).T
    return replace(poses, dx_px=poses.dx_px + dx - x, dy_px=poses.dy_px + dy - y)


def depth_direction(angles_deg: ArrayLike, poses: Poses) -> FloatArray:
    """Return the unit (tilt, 2) direction in (dx, dy) that is a shift along z.

    With the reference tilt frozen this is the one direction the data cannot fix
    (for an axis along x: dy proportional to sin(theta)).  All zeros if every angle is.
    """
    direction = translation_shifts(angles_deg, poses, (0.0, 0.0, 1.0))
    norm = float(np.linalg.norm(direction))
    return direction / norm if norm > 1e-12 else np.zeros_like(direction)


def fix_gauge(
    angles_deg: ArrayLike, poses: Poses, start: Poses, reference: int
) -> tuple[Poses, float]:
    """Pin what the data cannot fix: the project's gauge, used everywhere.

    The object is moved so that (1) the shift of the reference tilt equals its start
    and (2) the deviation of the shifts from their start has no component along z
    (`depth_direction`).  Rotations stay as they are; the reference's own z1 and z3 are
    reset to their start.  Returns the poses and the length in px of the removed shift
    of the object along z.
    """
    angles = np.asarray(angles_deg, np.float64)
    z1, z3 = poses.z1_deg.copy(), poses.z3_deg.copy()
    z1[reference], z3[reference] = start.z1_deg[reference], start.z3_deg[reference]
    shift = np.stack([poses.dx_px - start.dx_px, poses.dy_px - start.dy_px], -1)
    turned = Poses(z1, z3, poses.dx_px, poses.dy_px)
    # in-plane: undo what the reference sees, through the object, for every tilt
    rotation = object_to_detector(z1[reference], angles[reference], z3[reference])
    plane = rotation[:2, :2]
    if abs(np.linalg.det(plane)) > 1e-6:
        x, y = np.linalg.solve(plane, shift[reference])
        shift = shift - translation_shifts(angles, turned, (x, y, 0.0))
    depth = translation_shifts(angles, turned, (0.0, 0.0, 1.0))
    # keep the reference fixed while sliding along z
    if abs(np.linalg.det(plane)) > 1e-6:
        x, y = np.linalg.solve(plane, depth[reference])
        depth = depth - translation_shifts(angles, turned, (x, y, 0.0))
    power = float((depth**2).sum())
    amount = float((shift * depth).sum() / power) if power > 1e-12 else 0.0
    shift = shift - amount * depth
    fixed = Poses(z1, z3, start.dx_px + shift[:, 0], start.dy_px + shift[:, 1])
    return fixed, amount


def align_gauge(angles_deg: ArrayLike, poses: Poses, truth: Poses) -> Poses:
    """Return ``poses`` with the object moved to agree best with ``truth``.

    Only a translation of the object (three numbers) is taken out: no measurement can
    tell it.  A rotation about z is none of it, since the reference tilt pins it.  For
    scoring against a known truth.
    """
    angles = np.asarray(angles_deg, np.float64)
    columns = [translation_shifts(angles, truth, axis).ravel() for axis in np.eye(3)]
    wanted = np.stack([truth.dx_px - poses.dx_px, truth.dy_px - poses.dy_px], -1)
    offset, *_ = np.linalg.lstsq(np.stack(columns, -1), wanted.ravel(), rcond=None)
    dx, dy = translation_shifts(angles, truth, offset).T
    return Poses(poses.z1_deg, poses.z3_deg, poses.dx_px + dx, poses.dy_px + dy)


def scan_positions(shape: tuple[int, int], direction_deg: float) -> FloatArray:
    """Return (line, pixel, 2) float64: where the pixels of a scan lie, y and x in px.

    shape: lines and pixels in a line, as the microscope stores them, about the centre.
    direction_deg: fast direction in the field, from +x towards +y; the lines follow
    each other in the direction 90 degrees further.
    """
    turn = np.deg2rad(direction_deg)
    c, s = np.cos(turn), np.sin(turn)
    line, pixel = centred(shape[0])[:, None], centred(shape[1])
    return np.stack([s * pixel + c * line, c * pixel - s * line], axis=-1)
