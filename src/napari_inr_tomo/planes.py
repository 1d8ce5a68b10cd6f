"""Planes through the box that a watcher may ask a running network for.

A request is a file of its own in ``control/``; it is answered once, by a file in
``previews/`` that an event names.  Coordinates are those of `napari_inr_tomo.geometry`:
(x, y, z) in pixels about the centre of the box.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_inr_tomo import atomic
from napari_inr_tomo.npz import read_npz

MOST_PLANES = 8
MOST_POINTS = 1 << 22
"""A request for more points than these is ignored: the run goes first."""
_NONSENSE = (ValueError, KeyError, TypeError, AttributeError)

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Plane:
    """A rectangle in space, sampled on a square lattice.

    centre_xyz: its middle, px about the centre of the box.  right_xyz, down_xyz: unit
    vectors along its columns and its rows.  shape: (rows, columns).  step_px: distance
    of two samples; below 1 it looks between the voxels.
    """

    centre_xyz: Vector
    right_xyz: Vector
    down_xyz: Vector
    shape: tuple[int, int]
    step_px: float = 1.0

    def points(self) -> NDArray[np.float64]:
        """Return (row, column, 3) object coordinates x, y, z in px."""
        rows, columns = (
            (np.arange(n) - (n - 1) / 2) * self.step_px for n in self.shape
        )
        right, down = np.array(self.right_xyz), np.array(self.down_xyz)
        moved = rows[:, None, None] * down + columns[:, None] * right
        return np.asarray(np.array(self.centre_xyz) + moved, np.float64)

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` reads."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Plane:
        """Build it; raises ``ValueError``, ``KeyError`` or ``TypeError``."""
        rows, columns = (int(n) for n in value["shape"])
        plane = cls(
            _vector(value["centre_xyz"]),
            _vector(value["right_xyz"]),
            _vector(value["down_xyz"]),
            (rows, columns),
            float(value["step_px"]),
        )
        if rows < 1 or columns < 1 or not math.isfinite(plane.step_px):
            raise ValueError(f"a plane of shape {plane.shape}")
        return plane


def _vector(value: Any) -> Vector:
    x, y, z = (float(v) for v in value)
    if not all(map(math.isfinite, (x, y, z))):
        raise ValueError("a vector is not finite")
    return x, y, z


@dataclass(frozen=True)
class SliceRequest:
    """What is asked for; ``name`` comes back with the answer."""

    name: str
    planes: tuple[Plane, ...]

    def write(self, path: Path) -> None:
        """Put the request where the worker looks for it, in place of an older one."""
        planes = [plane.to_json() for plane in self.planes]
        atomic.write_json(path, {"name": self.name, "planes": planes})

    @classmethod
    def take(cls, path: Path) -> SliceRequest | None:
        """Read and remove a request; None where there is none that makes sense."""
        if not os.path.exists(path):  # also where a network disk is away
            return None
        try:
            try:
                value = atomic.read_json(path)
            finally:
                atomic.removed(path)
            planes = tuple(Plane.from_json(p) for p in value["planes"])
            name = str(value["name"])[:100]
        except (OSError, OverflowError, *_NONSENSE):
            return None
        points = sum(plane.shape[0] * plane.shape[1] for plane in planes)
        if len(planes) > MOST_PLANES or points > MOST_POINTS:
            return None
        return cls(name, planes)


def write_slices(path: Path, images: list[NDArray[np.float32]]) -> None:
    """Write the answer atomically: (row, column) float32 each, .npz."""
    with atomic.replacing(path) as temporary, open(temporary, "wb") as handle:
        np.savez(handle, *images)


def read_slices(path: Path) -> list[NDArray[np.float32]]:
    """Read what `write_slices` wrote; raises ``OSError`` or ``ValueError``."""
    try:
        if path.stat().st_size > 8 * MOST_POINTS:
            raise ValueError("it is larger than slices can be")
        found = read_npz(path)
        images = [found[f"arr_{index}"] for index in range(len(found))]
    except OSError:
        raise
    except Exception as error:  # noqa: BLE001 - an archive may provoke all
        raise ValueError(str(error) or type(error).__name__) from None
    if any(image.ndim != 2 or image.dtype.kind != "f" for image in images):
        raise ValueError("it holds something else than slices")
    return images


CLOSE_UP = 192
"""Samples along the longest side where it is looked at closer than the voxels."""


def orthogonal(
    position_xyz: Vector,
    shape_zyx: tuple[int, int, int],
    zoom: float = 1.0,
    most: int = 256,
) -> tuple[Plane, Plane, Plane]:
    """Return the planes xy, xz and yz (columns first) through a point.

    Whole slices of a box of (z, y, x) voxels at zoom 1, seen from its centre; at higher
    zooms the surroundings of the point, sampled more finely.  No side has more than
    ``most`` samples.
    """
    extent = {"x": shape_zyx[2], "y": shape_zyx[1], "z": shape_zyx[0]}
    unit = {"x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0)}
    planes = []
    for right, down in (("x", "y"), ("x", "z"), ("y", "z")):
        centre = dict(zip("xyz", position_xyz, strict=True))
        if zoom <= 1:
            centre[right] = centre[down] = 0.0
        longest = max(extent[right], extent[down])
        finest = longest if zoom <= 1 else max(longest, CLOSE_UP)
        step = longest / max(zoom, 1.0) / min(most, finest)
        rows, columns = (
            max(2, round(extent[a] / max(zoom, 1.0) / step)) for a in (down, right)
        )
        planes.append(
            Plane(
                (centre["x"], centre["y"], centre["z"]),
                unit[right],
                unit[down],
                (rows, columns),
                step,
            )
        )
    return planes[0], planes[1], planes[2]


def oblique(
    position_xyz: Vector,
    shape_zyx: tuple[int, int, int],
    turn_deg: float,
    lean_deg: float,
    zoom: float = 1.0,
    most: int = 256,
) -> Plane:
    """Return a square plane through a point at any angle.

    It begins as xy, leans about its columns' axis x (+y towards +z) by ``lean_deg``,
    then turns about z (+x towards +y) by ``turn_deg``: (0, 90) is xz and (90, 90) yz.
    At zoom 1 it is seen from where it is nearest the centre of the box of (z, y, x)
    voxels, at higher zooms from the point.
    """
    turn, lean = math.radians(turn_deg), math.radians(lean_deg)
    right = (math.cos(turn), math.sin(turn), 0.0)
    flat = math.cos(lean)
    down = (-math.sin(turn) * flat, math.cos(turn) * flat, math.sin(lean))
    centre = position_xyz
    if zoom <= 1:
        normal = np.cross(right, down)
        nearest = normal * (normal @ np.array(position_xyz))
        x, y, z = (round(float(v), 9) for v in nearest)  # the same plane is equal
        centre = (x, y, z)
    longest = max(shape_zyx)
    side = min(most, longest if zoom <= 1 else max(longest, CLOSE_UP))
    return Plane(centre, right, down, (side, side), longest / max(zoom, 1.0) / side)


def across_axis(
    position_xyz: Vector, shape_zyx: tuple[int, int, int], axis_deg: float
) -> Plane:
    """Return the square plane through a point in which the missing wedge lies.

    It is perpendicular to a tilt axis at ``axis_deg`` in the image plane; columns run
    across the axis, rows along the beam.
    """
    return oblique(position_xyz, shape_zyx, axis_deg + 90, 90.0)
