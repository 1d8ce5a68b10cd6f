"""Phantoms: sums of convex bodies with exact projections at any pose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.geometry import object_to_detector, rx, rz
from napari_inr_tomo.simulate.bodies import (
    Body,
    ball,
    box,
    cylinder,
    ellipsoid,
    frame,
    pyramid,
)
from napari_inr_tomo.types import FloatArray, ImageArray, Poses

SMALLEST = 8


@dataclass(frozen=True, eq=False)
class Phantom:
    """A sum of bodies, in units of half the shortest side of the box.

    size_zyx: the box, in voxels; unit_px: voxels per unit.  Negative densities carve.
    """

    name: str
    bodies: tuple[Body, ...]
    size_zyx: tuple[int, int, int]

    @property
    def unit_px(self) -> float:
        """Half the shortest side of the box, in voxels."""
        return min(self.size_zyx) / 2

    def voxelise(
        self, shape_zyx: tuple[int, int, int] | None = None, supersample: int = 3
    ) -> ImageArray:
        """Return the density averaged over every voxel.

        Exact along z, the mean of ``supersample`` lines along y and x each.  Returns
        (z, y, x) float32; the shape is that of the box if not given, and the phantom
        keeps its size in voxels, centred.
        """
        shape = self.size_zyx if shape_zyx is None else shape_zyx
        data = np.zeros(shape, np.float64)
        for body in self.bodies:
            placed = body.transformed(np.eye(3), self.unit_px)
            _add_voxels(data, placed, supersample)
        return data.astype(np.float32)

    def project(
        self,
        angles_deg: ArrayLike,
        poses: Poses,
        shape_yx: tuple[int, int] | None = None,
        supersample: int = 3,
    ) -> ImageArray:
        """Return the line integrals of the density, averaged over every pixel.

        angles_deg: (tilt,), degrees.  Returns (tilt, y, x) float32: density times path
        length in voxels, so the image at 0 degrees is ``voxelise().sum(axis=0)``.
        Nothing is cut off along the beam.
        """
        angles = np.atleast_1d(np.asarray(angles_deg, np.float64))
        shape = self.size_zyx[1:] if shape_yx is None else shape_yx
        rotations = object_to_detector(poses.z1_deg, angles, poses.z3_deg)
        images = np.zeros((len(angles), *shape), np.float64)
        for image, rotation, dx, dy in zip(
            images, rotations, poses.dx_px, poses.dy_px, strict=True
        ):
            for body in self.bodies:
                placed = body.transformed(rotation, self.unit_px, (dx, dy, 0.0))
                _add_image(image, placed, supersample)
        return images.astype(np.float32)


def _window(centre: float, radius: float, count: int) -> tuple[int, int]:
    """Return the range of pixels that centre +- radius touches."""
    low, high = centre - radius + count / 2, centre + radius + count / 2
    return max(int(np.floor(low)), 0), min(int(np.ceil(high)), count)


def _lines(window: tuple[int, int], count: int, supersample: int) -> FloatArray:
    """Return the coordinates of the lines through a range of pixels."""
    first, last = window
    steps = np.arange((last - first) * supersample) + 0.5
    return first + steps / supersample - count / 2


def _mean(values: FloatArray, supersample: int) -> FloatArray:
    """Return the mean over blocks of supersample x supersample lines."""
    h, w = values.shape
    s = supersample
    blocks = values.reshape(h // s, s, w // s, s)
    return np.asarray(blocks.sum(axis=(1, 3)) / s**2)


def _add_image(image: FloatArray, body: Body, supersample: int) -> None:
    h, w = image.shape
    rows = _window(body.centre[1], body.radius, h)
    columns = _window(body.centre[0], body.radius, w)
    if rows[0] >= rows[1] or columns[0] >= columns[1]:
        return
    x = _lines(columns, w, supersample)
    y = _lines(rows, h, supersample)[:, None]
    total = body.integral(x, y, *body.interval(x, y))
    image[slice(*rows), slice(*columns)] += _mean(total, supersample)


def _add_voxels(data: FloatArray, body: Body, supersample: int) -> None:
    d, h, w = data.shape
    rows = _window(body.centre[1], body.radius, h)
    columns = _window(body.centre[0], body.radius, w)
    if rows[0] >= rows[1] or columns[0] >= columns[1]:
        return
    x = _lines(columns, w, supersample)
    y = _lines(rows, h, supersample)[:, None]
    start, stop = body.interval(x, y)
    for k in range(*_window(body.centre[2], body.radius, d)):
        low = np.clip(start, k - d / 2, k + 1 - d / 2)
        high = np.clip(stop, k - d / 2, k + 1 - d / 2)
        total = body.integral(x, y, low, high)
        data[k, slice(*rows), slice(*columns)] += _mean(total, supersample)


def _hollow(outer: Body, inner: Body) -> list[Body]:
    return [outer, replace(inner, density=-outer.density)]


def _icosahedron() -> FloatArray:
    """Return its (12, 3) corners, on the unit sphere."""
    golden = (1 + 5**0.5) / 2
    corners = [
        np.roll((0.0, a, b * golden), k)
        for k in range(3)
        for a in (-1, 1)
        for b in (-1, 1)
    ]
    return np.asarray(np.array(corners) / np.hypot(1, golden))


def _sea_mine() -> list[Body]:
    """After section 4.4 and figure 2a of the paper: all of it inside a membrane."""
    bodies = _hollow(
        ellipsoid((0, 0, 0), (0.80, 0.70, 0.74), 0.6),
        ellipsoid((0, 0, 0), (0.76, 0.66, 0.70)),
    )
    mine = np.array([-0.28, 0.10, 0.12])
    bodies.append(ball(mine, 0.20, 0.7))
    turn = rz(17.0) @ rx(23.0)
    for corner in _icosahedron() @ turn.T:
        foot = mine + 0.19 * corner
        bodies.append(pyramid(foot, corner, 0.05, 0.15, 0.7, sides=5))
    bodies.append(pyramid((0.30, -0.30, -0.12), (0.3, 1.0, 0.4), 0.15, 0.32, 1.0))
    spots = np.array([(i, j, k) for i in range(4) for j in range(2) for k in range(2)])
    places = (spots - spots.mean(axis=0)) * 0.13 @ (rz(31.0) @ rx(-14.0)).T
    places += (0.02, -0.26, 0.30)
    for number, place in enumerate(places):
        bodies.append(ball(place, 0.045, 1.0 + 0.05 * number))
    cheese = cylinder((0.12, 0.10, -0.30), (0.1, 0.2, 1.0), 0.36, 0.12, 0.35)
    for normal in ((0.95, -0.30, 0.0), (-0.35, -0.94, 0.0)):
        cheese = cheese.cut(normal, float(np.dot(normal, cheese.centre)))
    bodies.append(replace(cheese, slope=np.array([-0.2, 0.25, 0.1])))
    return bodies


def _chiral() -> list[Body]:
    """Three unequal arms, a rising row of balls: no mirror image fits on it."""
    bodies = [
        box((0.20, -0.10, 0.00), (0.42, 0.07, 0.07), 1.0),
        box((-0.15, 0.22, 0.00), (0.07, 0.25, 0.07), 0.8),
        box((-0.15, -0.10, 0.24), (0.07, 0.07, 0.17), 0.6),
        pyramid((0.35, 0.25, -0.35), (-0.4, 0.2, 1.0), 0.14, 0.34, 0.9),
    ]
    for k in range(9):
        around = np.deg2rad(50.0 * k)
        place = (0.55 * np.cos(around), 0.55 * np.sin(around), -0.48 + 0.12 * k)
        bodies.append(ball(place, 0.065 + 0.007 * k, 0.5 + 0.1 * k))
    turn = rz(14.0) @ rx(9.0) @ rz(23.0)  # no face along a row of pixels
    return [body.transformed(turn, 0.95) for body in bodies]


def _ellipsoids() -> list[Body]:
    """Eight overlapping ellipsoids of different size, turn and density."""
    rng = np.random.default_rng(20)
    bodies = [ellipsoid((0, 0, 0), (0.72, 0.55, 0.62), 0.2, rz(20.0) @ rx(10.0))]
    for k in range(7):
        direction = rng.normal(size=3)
        centre = 0.38 * direction / np.linalg.norm(direction)
        turn = frame(rng.normal(size=3))
        bodies.append(
            ellipsoid(centre, rng.uniform(0.08, 0.24, 3), 0.2 + 0.1 * k, turn)
        )
    return bodies


def _apart(
    rng: np.random.Generator, count: int, inside: float, radii: tuple[float, float]
) -> list[tuple[FloatArray, float]]:
    """Return up to ``count`` balls that do not overlap, within a radius."""
    chosen: list[tuple[FloatArray, float]] = []
    for _ in range(50 * count):
        radius = float(rng.uniform(*radii))
        place = rng.uniform(-inside, inside, 3)
        if np.linalg.norm(place) + radius > inside:
            continue
        if all(np.linalg.norm(place - p) > radius + r for p, r in chosen):
            chosen.append((place, radius))
        if len(chosen) == count:
            break
    return chosen


def _porous() -> list[Body]:
    """A particle whose density rises across it, with fifty empty pores."""
    slope = np.array([0.35, -0.2, 0.25])
    axes = np.array([0.78, 0.66, 0.70])
    turn = rz(-25.0) @ rx(15.0)
    bodies = [replace(ellipsoid((0, 0, 0), axes, 0.7, turn), slope=slope)]
    for place, radius in _apart(np.random.default_rng(5), 50, 0.62, (0.05, 0.16)):
        bodies.append(replace(ball(place, radius, -0.7), slope=-slope))
    return bodies


def _lattice() -> list[Body]:
    """A face-centred cubic crystallite of atom-like balls of two kinds."""
    edge = 0.34
    corners = np.array(
        [(i, j, k) for i in range(-5, 6) for j in range(-5, 6) for k in range(-5, 6)]
    )
    sites = corners[corners.sum(axis=1) % 2 == 0] * (edge / 2)
    sites = sites @ (rz(12.0) @ rx(27.0) @ rz(-8.0)).T
    sites = sites[np.linalg.norm(sites, axis=1) < 0.70]
    return [ball(site, 0.065, 1.0 if site[0] < 0.1 else 0.6) for site in sites]


def _needle() -> list[Body]:
    """A rod along x, through both edges of the field, with layers across it."""
    bodies = [cylinder((0, 0, 0), (1, 0, 0), 0.42, 6.0, 0.3)]
    edges = (-0.75, -0.62, -0.40, -0.34, -0.05, 0.02, 0.30, 0.52, 0.60, 0.64)
    for number, (left, right) in enumerate(zip(edges[::2], edges[1::2], strict=True)):
        middle = ((left + right) / 2, 0, 0)
        half = (right - left) / 2
        bodies.append(cylinder(middle, (1, 0, 0), 0.42, half, 0.3 + 0.15 * number))
    for place in ((-0.2, 0.15, 0.1), (0.15, -0.1, 0.22), (0.42, 0.05, -0.2)):
        bodies.append(ball(place, 0.08, 0.8))
    return bodies


_MAKERS: dict[str, Callable[[], list[Body]]] = {
    "sea-mine": _sea_mine,
    "chiral": _chiral,
    "ellipsoids": _ellipsoids,
    "porous": _porous,
    "lattice": _lattice,
    "needle": _needle,
}
PHANTOMS = tuple(_MAKERS)


def phantom(name: str, size_zyx: int | tuple[int, int, int] = 64) -> Phantom:
    """Return a phantom for a box of ``size_zyx`` voxels (a number: a cube).

    name: one of `PHANTOMS`.  All stay within 0.85 of the half-width of the box, but for
    "needle", which leaves the field at both ends of x.  Raises `UserError` for another
    name or a box under 8 voxels.
    """
    size = (size_zyx,) * 3 if isinstance(size_zyx, int) else tuple(size_zyx)
    if name not in _MAKERS:
        raise UserError(
            f"There is no phantom called {name!r}",
            f"the phantoms are {', '.join(PHANTOMS)}",
            "Choose one of these",
        )
    if len(size) != 3 or min(size) < SMALLEST:
        raise UserError(
            "The box of the phantom is too small",
            f"its size is {size} and every side must have {SMALLEST} voxels or more",
            "Give a larger size",
        )
    return Phantom(name, tuple(_MAKERS[name]()), size)
