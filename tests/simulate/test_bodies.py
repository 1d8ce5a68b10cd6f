"""Chord lengths of bodies against their closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from napari_inr_tomo.geometry import rx, rz
from napari_inr_tomo.simulate.bodies import (
    Body,
    ball,
    box,
    cylinder,
    ellipsoid,
    frame,
    pyramid,
)


def chord(body: Body, x: float, y: float) -> float:
    start, stop = body.interval(np.array([x]), np.array([[y]]))
    return float((stop - start)[0, 0])


def contains(body: Body, points: np.ndarray) -> np.ndarray:
    inside = np.ones(len(points), bool)
    for matrix, origin in zip(body.matrices, body.origins, strict=True):
        away = points - origin
        inside &= np.einsum("pi,ij,pj->p", away, matrix, away) <= 1
    return inside & (points @ body.normals.T <= body.offsets).all(axis=1)


EVERY = {
    "ball": ball((0.3, -0.2, 0.1), 0.7),
    "ellipsoid": ellipsoid((0.1, 0.2, -0.3), (0.9, 0.3, 0.5), rotation=rx(31.0)),
    "cylinder": cylinder((0.2, 0.1, 0.0), (1.0, 0.5, -0.7), 0.4, 0.6),
    "box": box((0.0, 0.3, -0.1), (0.3, 0.6, 0.2), rotation=rz(20.0) @ rx(50.0)),
    "pyramid": pyramid((0.1, -0.2, 0.0), (0.2, 1.0, 0.4), 0.3, 0.8),
    "spike": pyramid((0.1, -0.2, 0.0), (-1.0, 0.1, 0.4), 0.1, 0.9, sides=5),
    "wedge": cylinder((0, 0, 0), (0, 0.3, 1), 0.8, 0.3).cut((1.0, -0.2, 0.1), 0.1),
}


def test_ball_chord() -> None:
    assert chord(ball((1.0, 2.0, 3.0), 5.0), 4.0, 2.0) == pytest.approx(8.0)
    assert chord(ball((1.0, 2.0, 3.0), 5.0), 6.1, 2.0) == 0.0


def test_ellipsoid_chord() -> None:
    body = ellipsoid((0, 0, 0), (4.0, 2.0, 3.0))
    expected = 2 * 3.0 * np.sqrt(1 - (1 / 4) ** 2 - (0.5 / 2) ** 2)
    assert chord(body, 1.0, 0.5) == pytest.approx(expected)


def test_cylinder_along_and_across_the_beam() -> None:
    along = cylinder((0, 0, 0), (0, 0, 1), 2.0, 5.0)
    assert chord(along, 1.0, 1.0) == pytest.approx(10.0)
    assert chord(along, 1.5, 1.5) == 0.0
    across = cylinder((0, 0, 0), (1, 0, 0), 2.0, 5.0)
    assert chord(across, 4.9, 1.0) == pytest.approx(2 * np.sqrt(3))
    assert chord(across, 5.1, 0.0) == 0.0


def test_turned_box_chord() -> None:
    body = box((0, 0, 0), (1.0, 1.0, 1.0), rotation=rx(45.0))
    assert chord(body, 0.0, 0.0) == pytest.approx(2 * np.sqrt(2))
    assert chord(body, 0.0, 1.0) == pytest.approx(2 * (np.sqrt(2) - 1))
    assert chord(body, 1.1, 0.0) == 0.0


def test_pyramid_tapers_to_its_tip() -> None:
    body = pyramid((0, 0, 0), (0, 0, 1), half_width=1.0, height=4.0)
    assert chord(body, 0.0, 0.0) == pytest.approx(4.0)
    assert chord(body, 0.5, 0.0) == pytest.approx(2.0) or chord(
        body, 0.0, 0.5
    ) == pytest.approx(2.0)
    assert chord(body, 1.5, 1.5) == 0.0


@pytest.mark.parametrize("name", EVERY)
def test_chord_is_the_length_inside(name: str) -> None:
    body = EVERY[name]
    z = np.linspace(-2, 2, 4001)
    rng = np.random.default_rng(3)
    hits = 0
    around = body.centre[:2] + 0.9 * body.radius * rng.uniform(-1, 1, (60, 2))
    for x, y in around:
        points = np.column_stack([np.full_like(z, x), np.full_like(z, y), z])
        inside = contains(body, points)
        hits += inside.any()
        assert chord(body, x, y) == pytest.approx(inside.sum() * 1e-3, abs=2.1e-3)
    assert 3 <= hits < 60


@pytest.mark.parametrize("name", EVERY)
def test_bounding_ball_holds_the_body(name: str) -> None:
    body = EVERY[name]
    rng = np.random.default_rng(4)
    points = body.centre + 1.5 * body.radius * rng.uniform(-1, 1, (200_000, 3))
    inside = points[contains(body, points)]
    assert len(inside) > 50
    assert np.linalg.norm(inside - body.centre, axis=1).max() <= body.radius + 1e-12


@pytest.mark.parametrize("name", EVERY)
def test_transformed_body_holds_the_transformed_points(name: str) -> None:
    body = EVERY[name]
    rotation = rz(33.0) @ rx(-20.0) @ rz(71.0)
    moved = body.transformed(rotation, 2.5, (0.4, -1.0, 3.0))
    points = np.random.default_rng(5).uniform(-1.5, 1.5, (20_000, 3))
    after = 2.5 * points @ rotation.T + (0.4, -1.0, 3.0)
    assert np.array_equal(contains(body, points), contains(moved, after))
    assert contains(body, points).any()


def test_linear_density_is_integrated_exactly() -> None:
    # density 2 + 3 z over 0 < z < 4 at the axis: 8 + 24
    column = cylinder((0, 0, 2), (0, 0, 1), 1.0, 2.0)
    body = Body(**{**vars(column), "density": 2.0, "slope": np.array([0.0, 0.0, 3.0])})
    x, y = np.array([0.2]), np.array([[0.1]])
    total = body.integral(x, y, *body.interval(x, y))
    assert total[0, 0] == pytest.approx(32.0)


def test_transformed_density_travels_with_the_body() -> None:
    source = ball((0.2, 0.1, 0.0), 0.5)
    body = Body(**{**vars(source), "density": 0.7, "slope": np.array([0.3, -0.2, 0.5])})
    rotation, shift = rx(40.0) @ rz(10.0), np.array([1.0, 2.0, -0.5])
    moved = body.transformed(rotation, 3.0, shift)
    point = np.array([0.3, -0.1, 0.2])
    there = 3.0 * rotation @ point + shift
    before = body.density + body.slope @ point
    assert moved.density + moved.slope @ there == pytest.approx(before)


@pytest.mark.parametrize("axis", [(0, 0, 1), (1, 0, 0), (0, -1, 0), (1, 2, -3)])
def test_frame_is_a_rotation_that_takes_z_to_the_axis(axis: tuple[int, ...]) -> None:
    turn = frame(axis)
    assert turn @ turn.T == pytest.approx(np.eye(3))
    assert np.linalg.det(turn) == pytest.approx(1.0)
    assert turn[:, 2] == pytest.approx(np.array(axis) / np.linalg.norm(axis))
