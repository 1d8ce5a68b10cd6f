"""The pose of every tilt taken apart, in a plane in which the tilt axis is x."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_inr_tomo.types import FloatArray, Poses

_SAME_DEG = 1e-6
_SAME_PX = 1e-9


@dataclass(frozen=True)
class AxisFrame:
    """The pose taken apart, and the plane in which the tilt axis is x.

    shape_yx: size of the plane, for turned slices and turned images alike; the same
    as the image's where nothing turns.  along_px, across_px: (tilt,) the shift of the
    image content along and across the tilt axis, before the turn by z3.
    """

    shape_yx: tuple[int, int]
    z1_deg: FloatArray
    z3_deg: FloatArray
    along_px: FloatArray
    across_px: FloatArray

    @classmethod
    def of(cls, poses: Poses, shape_yx: tuple[int, int]) -> AxisFrame:
        """Split the poses for images of (y, x)."""
        z1, z3 = (
            np.round(np.mod(z + 180, 360) - 180, 6)
            for z in (poses.z1_deg, poses.z3_deg)
        )
        c, s = np.cos(np.deg2rad(z3)), np.sin(np.deg2rad(z3))
        along = poses.dx_px * c + poses.dy_px * s
        across = poses.dy_px * c - poses.dx_px * s
        along[np.abs(along) < _SAME_PX] = 0
        return cls(
            _frame_shape(np.concatenate([z1, z3]), shape_yx), z1, z3, along, across
        )


def _frame_shape(turns_deg: FloatArray, shape_yx: tuple[int, int]) -> tuple[int, int]:
    """Return a (y, x) that holds the image turned by any of the angles."""
    if not turns_deg.size or np.abs(turns_deg).max() < _SAME_DEG:
        return shape_yx
    c, s = np.abs(np.cos(np.deg2rad(turns_deg))), np.abs(np.sin(np.deg2rad(turns_deg)))
    swapped = bool(np.median(s) > np.median(c))

    def padded(along: int, across: int, parity: int) -> int:
        half = ((along - 1) * c + (across - 1) * s).max() / 2
        count = 2 * int(np.ceil(half - 1e-9)) + 3
        return count + (count - parity) % 2

    height, width = shape_yx
    parity_yx = (width, height) if swapped else (height, width)
    return padded(height, width, parity_yx[0]), padded(width, height, parity_yx[1])


def groups(values: FloatArray) -> list[tuple[float, NDArray[np.intp]]]:
    """Return every distinct value with the tilts that have it."""
    return [(float(v), np.flatnonzero(values == v)) for v in np.unique(values)]
