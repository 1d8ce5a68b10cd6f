"""Convex bodies whose line integrals along the beam are known exactly.

A body is the set inside every one of its quadrics ``(r - c)^T A (r - c) <= 1``
(ellipsoids and cylinders) and half-spaces ``n . r <= d``.  A line meets each of them in
an interval, so it meets the body in the intersection of the intervals.  The density
inside is linear, and the integral of a linear density along a chord is its value
half-way times the length.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike

from napari_inr_tomo.types import FloatArray

_PARALLEL = 1e-12


def _empty(*shape: int) -> FloatArray:
    return np.empty(shape, np.float64)


@dataclass(frozen=True, eq=False)
class Body:
    """One convex body; every vector is (x, y, z), every length in the same unit.

    centre, radius: a sphere that holds the body.
    matrices: (quadric, 3, 3) symmetric, positive semi-definite; origins: (quadric, 3).
    normals: (plane, 3); offsets: (plane,): inside where ``normal . r <= offset``.
    density, slope: the density at r inside is ``density + slope . r``.
    """

    centre: FloatArray
    radius: float
    matrices: FloatArray = field(default_factory=lambda: _empty(0, 3, 3))
    origins: FloatArray = field(default_factory=lambda: _empty(0, 3))
    normals: FloatArray = field(default_factory=lambda: _empty(0, 3))
    offsets: FloatArray = field(default_factory=lambda: _empty(0))
    density: float = 1.0
    slope: FloatArray = field(default_factory=lambda: np.zeros(3))

    def transformed(
        self, rotation: FloatArray, scale: float = 1.0, shift: ArrayLike = (0, 0, 0)
    ) -> Body:
        """Return the body after ``r -> scale * rotation @ r + shift``."""
        move = np.asarray(shift, np.float64)
        normals = self.normals @ rotation.T
        slope = rotation @ self.slope / scale
        return Body(
            centre=scale * rotation @ self.centre + move,
            radius=scale * self.radius,
            matrices=rotation @ self.matrices @ rotation.T / scale**2,
            origins=scale * self.origins @ rotation.T + move,
            normals=normals,
            offsets=scale * self.offsets + normals @ move,
            density=self.density - float(slope @ move),
            slope=slope,
        )

    def cut(self, normal: ArrayLike, offset: float) -> Body:
        """Return the part of the body where ``normal . r <= offset``."""
        return replace(
            self,
            normals=np.vstack([self.normals, np.asarray(normal, np.float64)]),
            offsets=np.append(self.offsets, offset),
        )

    def interval(self, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return where the lines along z at (x, y) enter and leave the body.

        x: (w,), y: (h, 1).  Returns two (h, w) arrays of z, equal for a miss.
        """
        shape = np.broadcast_shapes(x.shape, y.shape)
        start = np.full(shape, self.centre[2] - self.radius)
        stop = np.full(shape, self.centre[2] + self.radius)
        for matrix, origin in zip(self.matrices, self.origins, strict=True):
            _meet_quadric(matrix, origin, x, y, start, stop)
        for normal, offset in zip(self.normals, self.offsets, strict=True):
            _meet_plane(normal, float(offset), x, y, start, stop)
        return start, np.maximum(start, stop)

    def integral(
        self, x: FloatArray, y: FloatArray, start: FloatArray, stop: FloatArray
    ) -> FloatArray:
        """Return the integral of the density along z from ``start`` to ``stop``."""
        length = stop - start
        if not self.slope.any():
            return self.density * length
        middle = 0.5 * self.slope[2] * (start + stop)
        along = self.density + self.slope[0] * x + self.slope[1] * y + middle
        return np.asarray(length * along)


def _meet_quadric(
    matrix: FloatArray,
    origin: FloatArray,
    x: FloatArray,
    y: FloatArray,
    start: FloatArray,
    stop: FloatArray,
) -> None:
    """Shorten [start, stop] in place to the part inside a quadric."""
    u, v = x - origin[0], y - origin[1]
    a, bx, by = matrix[2, 2], matrix[0, 2], matrix[1, 2]
    rest = matrix[0, 0] * u**2 + (2 * matrix[0, 1] * v) * u + matrix[1, 1] * v**2 - 1
    if a < _PARALLEL * np.trace(matrix):
        stop[rest > 0] = -np.inf
        return
    slope = bx * u + by * v
    root = slope**2 - a * rest
    missed = root < 0
    half = np.sqrt(np.maximum(root, 0, out=root), out=root) / a
    middle = origin[2] - slope / a
    np.maximum(start, middle - half, out=start)
    np.minimum(stop, middle + half, out=stop)
    stop[missed] = -np.inf


def _meet_plane(
    normal: FloatArray,
    offset: float,
    x: FloatArray,
    y: FloatArray,
    start: FloatArray,
    stop: FloatArray,
) -> None:
    """Shorten [start, stop] in place to the part behind a plane."""
    room = offset - normal[0] * x - normal[1] * y
    if abs(normal[2]) < _PARALLEL:
        stop[room < 0] = -np.inf
    elif normal[2] > 0:
        np.minimum(stop, room / normal[2], out=stop)
    else:
        np.maximum(start, room / normal[2], out=start)


def frame(axis: ArrayLike) -> FloatArray:
    """Return a (3, 3) rotation that takes +z to the direction ``axis``."""
    w = np.asarray(axis, np.float64)
    w = w / np.linalg.norm(w)
    helper = np.eye(3)[int(np.argmin(np.abs(w)))]
    u = np.cross(helper, w)
    u /= np.linalg.norm(u)
    return np.stack([u, np.cross(w, u), w], axis=1)


def ellipsoid(
    centre: ArrayLike,
    semi_axes: ArrayLike,
    density: float = 1.0,
    rotation: FloatArray | None = None,
) -> Body:
    """Return an ellipsoid; ``semi_axes`` (x, y, z) before ``rotation`` about it."""
    axes = np.asarray(semi_axes, np.float64)
    turn = np.eye(3) if rotation is None else rotation
    middle = np.asarray(centre, np.float64)
    return Body(
        centre=middle,
        radius=float(axes.max()),
        matrices=(turn @ np.diag(axes**-2.0) @ turn.T)[None],
        origins=middle[None],
        density=density,
    )


def ball(centre: ArrayLike, radius: float, density: float = 1.0) -> Body:
    """Return a ball."""
    return ellipsoid(centre, (radius, radius, radius), density)


def cylinder(
    centre: ArrayLike,
    axis: ArrayLike,
    radius: float,
    half_length: float,
    density: float = 1.0,
) -> Body:
    """Return a circular cylinder with flat ends."""
    middle = np.asarray(centre, np.float64)
    turn = frame(axis)
    w = turn[:, 2]
    across = np.eye(3) - np.outer(w, w)
    return Body(
        centre=middle,
        radius=float(np.hypot(radius, half_length)),
        matrices=(across / radius**2)[None],
        origins=middle[None],
        normals=np.stack([w, -w]),
        offsets=np.array([w @ middle + half_length, half_length - w @ middle]),
        density=density,
    )


def box(
    centre: ArrayLike,
    half_sides: ArrayLike,
    density: float = 1.0,
    rotation: FloatArray | None = None,
) -> Body:
    """Return a cuboid; ``half_sides`` (x, y, z) before ``rotation`` about it."""
    half = np.asarray(half_sides, np.float64)
    middle = np.asarray(centre, np.float64)
    axes = np.eye(3) if rotation is None else rotation.T
    normals = np.vstack([axes, -axes])
    return Body(
        centre=middle,
        radius=float(np.linalg.norm(half)),
        normals=normals,
        offsets=normals @ middle + np.tile(half, 2),
        density=density,
    )


def pyramid(
    base: ArrayLike,
    axis: ArrayLike,
    half_width: float,
    height: float,
    density: float = 1.0,
    sides: int = 4,
) -> Body:
    """Return a regular pyramid whose tip lies ``height`` from ``base`` along ``axis``.

    half_width: distance from the middle of the base to the middle of each side.
    """
    turn = frame(axis)
    foot = np.asarray(base, np.float64)
    around = 2 * np.pi * np.arange(sides) / sides
    out = height * np.stack([np.cos(around), np.sin(around)], 1)
    slanted = np.column_stack([out, np.full(sides, half_width)])
    slanted /= np.hypot(height, half_width)
    normals = np.vstack([slanted @ turn.T, -turn[:, 2]])
    reach = half_width * height / np.hypot(height, half_width)
    corner = half_width / np.cos(np.pi / sides)
    return Body(
        centre=foot,
        radius=float(max(height, corner)),
        normals=normals,
        offsets=normals @ foot + np.append(np.full(sides, reach), 0.0),
        density=density,
    )
