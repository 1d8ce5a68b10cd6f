"""The conventions, the gauge, and what must not depend on it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_inr_tomo.geometry import (
    align_gauge,
    centred,
    default_depth,
    depth_direction,
    fix_gauge,
    object_to_detector,
    project_points,
    rx,
    rz,
    samples_through,
    scan_positions,
    translation_shifts,
)
from napari_inr_tomo.types import Poses

ANGLES = np.arange(-63.0, 64.0, 7.0)
COUNT = len(ANGLES)
REFERENCE = int(np.argmin(np.abs(ANGLES)))


def random_poses(
    seed: int = 0, axis_deg: float = 8.0, spread_deg: float = 2.0
) -> Poses:
    rng = np.random.default_rng(seed)
    changes = rng.normal(size=(COUNT, 4)) * [spread_deg, spread_deg, 2.0, 2.0]
    return Poses.from_array(Poses.from_axis(COUNT, axis_deg).as_array() + changes)


def moved(poses: Poses, offset_xyz: tuple[float, float, float]) -> Poses:
    """Return the poses that see the same images of an object moved by -offset."""
    shift = translation_shifts(ANGLES, poses, offset_xyz)
    values = poses.as_array()
    values[:, 2:] += shift
    return Poses.from_array(values)


def one(z1: float = 0, z3: float = 0, dx: float = 0, dy: float = 0) -> Poses:
    return Poses([z1], [z3], [dx], [dy])


def test_point_at_depth_ten_tilted_by_thirty_lands_at_minus_five() -> None:
    assert project_points([(0, 0, 10)], [30.0], one())[0, 0] == pytest.approx((0, -5))


@pytest.mark.parametrize(
    ("point", "angle", "pose", "lands"),
    [
        ((4, 0, 0), 50.0, one(), (4, 0)),  # the axis stays where it is
        ((0, 6, 0), 60.0, one(), (0, 3)),
        ((3, 0, 0), 0.0, one(z3=90), (0, 3)),  # +x turns towards +y
        ((0, 3, 0), 0.0, one(z3=90), (-3, 0)),
        ((3, 0, 0), 90.0, one(z1=90), (0, 0)),  # z1 acts before the tilt
        ((3, 0, 0), 90.0, one(z3=90), (0, 3)),  # z3 after it
        ((0, 0, 2), 90.0, one(z3=90), (2, 0)),
        ((0, 0, 0), 35.0, one(z3=90, dx=2, dy=-1), (2, -1)),  # shifts come last
    ],
)
def test_where_points_land(point, angle, pose, lands) -> None:
    assert project_points([point], [angle], pose)[0, 0] == pytest.approx(lands)


def test_points_on_an_inclined_axis_do_not_move_with_the_tilt() -> None:
    """The axis runs along +x turned by psi towards +y, through (dx, dy)."""
    poses = Poses.from_axis(COUNT, 25.0, dx_px=1.5, dy_px=-2.0)
    along = np.array([np.cos(np.deg2rad(25)), np.sin(np.deg2rad(25)), 0.0])
    landed = project_points([7 * along], ANGLES, poses)[:, 0]
    expected = 7 * along[:2] + (1.5, -2.0)
    assert landed == pytest.approx(np.tile(expected, (COUNT, 1)))
    across = project_points([(-along[1] * 7, along[0] * 7, 0)], ANGLES, poses)[:, 0]
    assert np.ptp(across, axis=0).max() > 1
    assert poses.axis_deg == pytest.approx(25.0)


@pytest.mark.parametrize("turn", [rz, rx])
def test_rotations_are_proper_and_add_up(turn) -> None:
    matrix = turn(np.array([37.0, -12.0]))
    assert matrix.shape == (2, 3, 3)
    assert np.linalg.det(matrix) == pytest.approx(1.0)
    assert turn(20.0) @ turn(17.0) == pytest.approx(turn(37.0))
    assert matrix[0].T == pytest.approx(turn(-37.0))


def test_order_of_the_three_rotations() -> None:
    whole = object_to_detector(11.0, 22.0, 33.0)
    assert whole == pytest.approx(rz(33.0) @ rx(22.0) @ rz(11.0))


def test_torch_and_numpy_agree_and_torch_differentiates() -> None:
    z1 = torch.tensor([3.0, -8.0], dtype=torch.float64, requires_grad=True)
    theta = torch.tensor([20.0, -40.0], dtype=torch.float64)
    z3 = torch.tensor([1.0, 170.0], dtype=torch.float64)
    ours = object_to_detector(z1, theta, z3, torch)
    expected = object_to_detector(*(t.detach().numpy() for t in (z1, theta, z3)))
    assert ours.detach().numpy() == pytest.approx(expected)
    ours[:, 0, 1].sum().backward()
    step = 1e-6
    values = (z1.detach().numpy(), theta.numpy(), z3.numpy())
    plus = object_to_detector(values[0] + step, *values[1:])[:, 0, 1]
    minus = object_to_detector(values[0] - step, *values[1:])[:, 0, 1]
    assert z1.grad is not None
    assert z1.grad.numpy() == pytest.approx((plus - minus) / (2 * step), rel=1e-6)


@pytest.mark.parametrize("count", [1, 4, 7])
def test_centred_coordinates_are_symmetric(count: int) -> None:
    values = centred(count)
    assert values == pytest.approx(-values[::-1])
    assert len(values) == count
    if count > 1:
        assert np.diff(values) == pytest.approx(1)


def test_translation_shifts_are_where_the_moved_points_land() -> None:
    poses = random_poses()
    points, offset = np.array([(3.0, -2.0, 5.0)]), np.array([1.0, 0.5, -4.0])
    before = project_points(points, ANGLES, poses)[:, 0]
    after = project_points(points + offset, ANGLES, poses)[:, 0]
    assert translation_shifts(ANGLES, poses, offset) == pytest.approx(after - before)


def test_depth_direction_of_a_plain_axis_is_the_sine() -> None:
    direction = depth_direction(ANGLES, Poses.zeros(COUNT))
    expected = -np.sin(np.deg2rad(ANGLES))
    assert direction[:, 0] == pytest.approx(0)
    assert direction[:, 1] == pytest.approx(expected / np.linalg.norm(expected))
    assert not depth_direction(np.zeros(3), Poses.zeros(3)).any()


@pytest.mark.parametrize("spread_deg", [0.0, 3.0])
@pytest.mark.parametrize("offset", [(0, 0, 5.0), (2.0, -3.0, 0), (1.0, 4.0, -6.0)])
def test_a_moved_object_gives_the_same_fixed_poses(offset, spread_deg) -> None:
    start = Poses.from_axis(COUNT, 8.0, 0.5, -1.0)
    poses = random_poses(3, spread_deg=spread_deg)
    turned, _ = fix_gauge(ANGLES, poses, start, REFERENCE)  # resets the reference
    first, _ = fix_gauge(ANGLES, turned, start, REFERENCE)
    second, _ = fix_gauge(ANGLES, moved(turned, offset), start, REFERENCE)
    assert second.as_array() == pytest.approx(first.as_array(), abs=1e-9)


def test_fixed_poses_are_a_translation_away_and_stay_fixed() -> None:
    """Nothing but a translation of the object may be taken out, and only once."""
    start = Poses.zeros(COUNT)
    values = random_poses(5, axis_deg=0.0).as_array()
    values[REFERENCE, :2] = 0  # its rotation is at its start already
    poses = Poses.from_array(values)
    fixed, amount = fix_gauge(ANGLES, poses, start, REFERENCE)
    difference = poses.as_array()[:, 2:] - fixed.as_array()[:, 2:]
    basis = [translation_shifts(ANGLES, poses, axis).ravel() for axis in np.eye(3)]
    _, left, *_ = np.linalg.lstsq(np.stack(basis, -1), difference.ravel(), rcond=None)
    assert left == pytest.approx(0, abs=1e-18)
    assert np.array_equal(fixed.as_array()[:, :2], values[:, :2])
    again, nothing = fix_gauge(ANGLES, fixed, start, REFERENCE)
    assert again.as_array() == pytest.approx(fixed.as_array(), abs=1e-12)
    assert nothing == pytest.approx(0, abs=1e-12)
    assert abs(amount) > 0


def test_the_reference_keeps_its_start() -> None:
    start = Poses.from_axis(COUNT, 12.0, 1.0, 2.0)
    fixed, _ = fix_gauge(ANGLES, random_poses(7), start, REFERENCE)
    assert fixed.as_array()[REFERENCE] == pytest.approx(start.as_array()[REFERENCE])


def test_the_removed_depth_is_what_was_put_in() -> None:
    start = Poses.from_axis(COUNT, 8.0)
    fixed, amount = fix_gauge(ANGLES, moved(start, (0, 0, 5.0)), start, REFERENCE)
    assert amount == pytest.approx(5.0)
    assert fixed.as_array() == pytest.approx(start.as_array(), abs=1e-12)


@pytest.mark.parametrize("angles", [[0.0, 0.0], [30.0], [90.0], [90.0, -90.0], [0.0]])
def test_gauge_of_degenerate_series_is_finite(angles: list[float]) -> None:
    count = len(angles)
    start = Poses.zeros(count)
    poses = Poses.from_array(np.full((count, 4), 1.5))
    fixed, amount = fix_gauge(angles, poses, start, 0)
    assert np.isfinite(fixed.as_array()).all()
    assert np.isfinite(amount)
    assert np.isfinite(align_gauge(angles, poses, start).as_array()).all()


def test_align_gauge_recovers_the_truth_of_a_moved_object() -> None:
    truth = random_poses(9)
    found = moved(truth, (3.0, -1.0, 7.0))
    assert np.abs(found.as_array() - truth.as_array()).max() > 3
    aligned = align_gauge(ANGLES, found, truth)
    assert aligned.as_array() == pytest.approx(truth.as_array(), abs=1e-9)


def test_align_gauge_leaves_real_errors() -> None:
    truth = random_poses(9)
    values = truth.as_array()
    values[4, 2:] += (1.0, -0.5)
    values[6, 1] += 2.0
    aligned = align_gauge(ANGLES, Poses.from_array(values), truth).as_array()
    error = aligned - truth.as_array()
    assert error[6, 1] == pytest.approx(2.0)
    assert error[4, 2] == pytest.approx(1.0, abs=0.15)
    assert error[4, 3] == pytest.approx(-0.5, abs=0.15)


def test_default_depth_is_the_extent_across_the_axis() -> None:
    assert default_depth((40, 70), 0) == 40
    assert default_depth((40, 70), 90) == 70
    assert default_depth((60, 60), 4) == 60


HIGH = np.linspace(-75, 75, 31)


@pytest.mark.parametrize("axis_deg", [0.0, 90.0, -10.6])
@pytest.mark.parametrize("shape_yx", [(64, 64), (48, 96), (65, 33)])
def test_a_box_of_the_default_depth_has_a_sample_per_pixel_of_depth(
    shape_yx: tuple[int, int], axis_deg: float
) -> None:
    poses = Poses.from_axis(len(HIGH), axis_deg)
    depth = default_depth(shape_yx, axis_deg)
    for deep in (depth, 2 * depth):
        assert samples_through(HIGH, poses, (deep, *shape_yx)) == deep


def test_in_a_thin_box_the_samples_follow_the_longest_ray() -> None:
    poses = Poses.zeros(len(HIGH))
    for depth in (8, 10, 13):
        longest = depth / np.cos(np.deg2rad(75))
        samples = samples_through(HIGH, poses, (depth, 64, 50))
        assert longest <= samples < longest + 1
    assert samples_through(HIGH, poses, (30, 64, 50)) == 64  # not longer than the field
    assert samples_through([0.0], Poses.zeros(1), (8, 64, 50)) == 8


def test_the_gauge_is_about_where_the_poses_started():
    """Moving the object changes nothing, whatever shifts the search began from."""
    rng = np.random.default_rng(5)
    angles, reference = np.array([-50.0, -20, 5, 30, 60]), 2
    start = Poses.from_array(rng.normal(0, 4, (5, 4)))
    table = start.as_array() + rng.normal(0, 1, (5, 4))
    table[reference, :2] = start.as_array()[reference, :2]
    poses = Poses.from_array(table)
    fixed, _ = fix_gauge(angles, poses, start, reference)
    moved = translation_shifts(angles, poses, (3.0, -2.0, 7.0))
    table[:, 2:] += moved
    again, _ = fix_gauge(angles, Poses.from_array(table), start, reference)
    np.testing.assert_allclose(again.as_array(), fixed.as_array(), atol=1e-9)
    settled, left = fix_gauge(angles, fixed, start, reference)
    np.testing.assert_allclose(settled.as_array(), fixed.as_array(), atol=1e-9)
    assert left == pytest.approx(0, abs=1e-9)
    for name in ("dx_px", "dy_px"):
        there = getattr(fixed, name)[reference], getattr(start, name)[reference]
        assert there[0] == pytest.approx(there[1])
    unmoved, _ = fix_gauge(angles, start, start, reference)
    np.testing.assert_allclose(unmoved.as_array(), start.as_array(), atol=1e-9)


@pytest.mark.parametrize("direction_deg", [0.0, 30.0, 90.0, -120.0])
def test_a_scan_runs_in_its_direction_and_its_lines_follow(direction_deg) -> None:
    """From +x towards +y, about the centre; the next line lies 90 degrees further."""
    places = scan_positions((3, 5), direction_deg)
    fast, slow = np.deg2rad(direction_deg), np.deg2rad(direction_deg + 90)
    for angle, axis in ((fast, 1), (slow, 0)):
        step = np.diff(places, axis=axis).reshape(-1, 2)
        wanted = np.broadcast_to([np.sin(angle), np.cos(angle)], step.shape)
        np.testing.assert_allclose(step, wanted, atol=1e-12)
    np.testing.assert_allclose(places.mean((0, 1)), 0, atol=1e-12)
