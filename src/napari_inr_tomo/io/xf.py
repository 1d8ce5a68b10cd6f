"""IMOD's .xf files: one linear transform per image, "A11 A12 A21 A22 DX DY".

IMOD moves a pixel of the raw image to its place in the aligned image by

    X' = A11 X + A12 Y + DX,   Y' = A21 X + A22 Y + DY,

with X along the columns and Y along the rows of the array as it is stored (IMOD shows
row 0 of an MRC file at the bottom, so its Y points up on its own screen), both from the
centre of the image.  In the aligned image the tilt axis is Y, and a point of the object
lands at X' = X cos(tilt) + Z sin(tilt), Y' = Y.

Our pose gives p = R(z3) [Rx(tilt) Rz(z1) r] + d, and Rx(a) = Rz(-90) Ry(a) Rz(90) with
exactly the Ry of the line above.  Hence, with R(a) the turn of +x towards +y,

    A = R(90 - z3),   D = -A d,   and IMOD's object is ours turned by Rz(z1 + 90).

So IMOD's image rotation phi (A11 = cos phi, A12 = sin phi) is z3 - 90.  One object has
one z1: what z1 differs between the tilts has no place in an .xf.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from napari_inr_tomo.atomic import write_bytes
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.io.border import read_text, writing
from napari_inr_tomo.types import FloatArray, Poses

Axis = Literal["x", "y"]

_LARGEST_STRETCH = 0.02


def read_xf(path: str | Path, axis: Axis = "y") -> Poses:
    """Return the poses that an .xf file describes.

    axis: along which the tilt axis lies in the aligned image: "y" as everywhere in
    IMOD, "x" for the files `write_series` puts beside a stack.
    z1 is minus the mean z3, so the volume has the orientation of the raw image at 0
    degrees.  Raises `UserError` for a garbled file, a mirror image or a change of
    magnification or a shear above 2 % (smaller ones are left out).
    """
    path = Path(path)
    table = _read_table(path)
    matrix = table[:, :4].reshape(-1, 2, 2)
    left, stretch, right = np.linalg.svd(matrix)
    turn = left @ right
    if (np.linalg.det(turn) < 0).any():
        raise UserError(
            f"The transforms in {path.name} mirror the images",
            "a pose can turn and shift an image, not mirror it",
            "Use the .xf file of a tilt alignment",
        )
    worst = float(np.abs(stretch - 1).max())
    if worst > _LARGEST_STRETCH:
        raise UserError(
            f"The transforms in {path.name} stretch the images",
            f"by up to {worst:.1%}, and a pose can only turn and shift an image",
            "Bring the stack to one magnification first, or align it here",
        )
    angle = np.rad2deg(np.arctan2(turn[:, 1, 0], turn[:, 0, 0]))
    z3 = wrapped((90.0 if axis == "y" else 0.0) - angle)
    shift = np.asarray(-np.linalg.solve(matrix, table[:, 4:, None])[:, :, 0])
    z1 = np.full(len(z3), -mean_angle(z3))
    return Poses(z1, z3, shift[:, 0], shift[:, 1])


def write_xf(path: str | Path, poses: Poses, axis: Axis = "y") -> None:
    """Write the transforms that bring raw images to a tilt axis along y (or x).

    What z1 differs between the tilts is not an image transform and is not written.
    """
    path = Path(path)
    with writing(path):
        write_bytes(path, xf_text(poses, axis).encode())


def xf_text(poses: Poses, axis: Axis = "y") -> str:
    """Return the content of an .xf file."""
    matrix, shift = alignment(poses, axis)
    rows = np.concatenate([matrix.reshape(-1, 4), shift], axis=1)
    lines = [
        "".join(f"{value:12.7f}" for value in row[:4])
        + "".join(f"{value:14.6f}" for value in row[4:])
        + "\n"
        for row in rows + 0.0
    ]
    return "".join(lines)


def alignment(poses: Poses, axis: Axis) -> tuple[FloatArray, FloatArray]:
    """Return the image transforms (tilt, 2, 2) and (tilt, 2) that undo the poses.

    They act on (x, y) in pixels about the centre: p' = A p + D.
    """
    angle = np.deg2rad((90.0 if axis == "y" else 0.0) - poses.z3_deg)
    c, s = np.cos(angle), np.sin(angle)
    matrix = np.stack([np.stack([c, -s], -1), np.stack([s, c], -1)], -2)
    shift = np.stack([poses.dx_px, poses.dy_px], -1)
    return matrix, -np.einsum("tij,tj->ti", matrix, shift)


def axis_on_screen(imod_deg: float, rows_up: bool) -> float:
    """Return the angle of a tilt axis from +x towards +y (down), in (-90, 90].

    imod_deg: IMOD's or SerialEM's angle, counter-clockwise from the vertical where row
    0 is at the bottom.  rows_up: the file keeps row 0 at the bottom there (MRC).
    """
    angle = 90 + imod_deg if rows_up else 90 - imod_deg
    return float(90 - (90 - angle) % 180)


def _read_table(path: Path) -> FloatArray:
    rows = [line.split() for line in read_text(path).splitlines() if line.strip()]
    try:
        table = np.asarray([[float(word) for word in row] for row in rows])
    except ValueError:
        table = np.empty(0)
    if table.ndim != 2 or table.shape[1:] != (6,) or not np.isfinite(table).all():
        raise UserError(
            f"{path.name} is not a file of image transforms",
            "an .xf file has six numbers per line, one line per image",
            "Choose the .xf file of the alignment",
        )
    return np.asarray(table, np.float64)


def wrapped(angle_deg: FloatArray) -> FloatArray:
    """Return the angles within (-180, 180] degrees."""
    return np.asarray(180 - (180 - angle_deg) % 360, np.float64)


def mean_angle(angle_deg: FloatArray) -> float:
    """Return the mean direction of angles, degrees."""
    turns = np.exp(1j * np.deg2rad(angle_deg))
    return float(np.rad2deg(np.angle(turns.mean())))
