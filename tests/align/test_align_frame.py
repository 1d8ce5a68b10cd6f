"""The frame of the axis, and setting the axis by hand."""

from __future__ import annotations

import numpy as np
import pytest
from ball_series import ball_series, render

from napari_inr_tomo.align import current_axis, set_tilt_axis
from napari_inr_tomo.align.frame import (
    axis_directions,
    border_level,
    edge_window,
    filled_images,
    resample,
    shifts_xy,
)
from napari_inr_tomo.geometry import project_points
from napari_inr_tomo.types import Poses, TiltSeries

ANGLES = np.array([20.0, -40, 0, 60, -10])


def test_the_frame_undoes_the_geometry():
    """A point keeps its place along the axis and runs as y cos - z sin across."""
    psi = 23.0
    poses = Poses(
        np.full(5, -psi), np.full(5, psi), [1, -2, 3, 0, 5], [0.5, 2, -4, 1, 0]
    )
    turned = np.deg2rad(psi)
    y, z = 6.0, -9.0
    # the point (4, 6, -9) of the frame, in the frame of the object: turned by psi
    point = [
        4 * np.cos(turned) - y * np.sin(turned),
        4 * np.sin(turned) + y * np.cos(turned),
        z,
    ]
    landed = project_points([point], ANGLES, poses)[:, 0]
    along, across = axis_directions(psi)
    theta = np.deg2rad(ANGLES)
    np.testing.assert_allclose((landed - shifts_xy(poses)) @ along, 4)
    np.testing.assert_allclose(
        (landed - shifts_xy(poses)) @ across, y * np.cos(theta) - z * np.sin(theta)
    )
    images = render([point], [2.0], [1.0], ANGLES, poses, (61, 74))
    for image, shift, at in zip(images, shifts_xy(poses), theta, strict=True):
        frame = resample(image, psi, shift)
        row, column = (np.arange(n) - (n - 1) / 2 for n in frame.shape)
        assert frame.sum(0) @ column / frame.sum() == pytest.approx(4, abs=0.02)
        expected = y * np.cos(at) - z * np.sin(at)
        assert frame.sum(1) @ row / frame.sum() == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("psi", [0.0, 35.0, 90.0, -60.0])
def test_stretching_leaves_the_pivot(psi):
    along, across = axis_directions(psi)
    point = [*(5 * along + 8 * across), 0.0]
    image = render([point], [2.0], [1.0], [0.0], Poses.zeros(1), (61, 74))[0]
    frame = resample(image, psi, np.zeros(2), across_scale=0.5, pivot_px=2.0)
    row, column = (np.arange(n) - (n - 1) / 2 for n in frame.shape)
    assert frame.sum(1) @ row / frame.sum() == pytest.approx(2 + 0.5 * 6, abs=0.02)
    assert frame.sum(0) @ column / frame.sum() == pytest.approx(5, abs=0.02)


def test_setting_the_axis_means_what_the_geometry_means():
    """The axis is drawn where the images of points on it do not move."""
    series = TiltSeries(np.zeros((5, 20, 30)), ANGLES)
    placed = set_tilt_axis(series, 30.0, -4.0)
    on_axis = np.array([[np.cos(np.pi / 6), np.sin(np.pi / 6), 0]]) * 10
    landed = project_points(on_axis, ANGLES, placed.start_poses)[:, 0]
    np.testing.assert_allclose(landed, np.broadcast_to(landed[0], landed.shape))
    across = np.array([-np.sin(np.pi / 6), np.cos(np.pi / 6)])
    np.testing.assert_allclose(landed @ across, -4.0)
    assert current_axis(placed) == pytest.approx((30.0, -4.0))


def test_setting_again_replaces_and_keeps_the_shifts_between_tilts():
    rng = np.random.default_rng(0)
    found = rng.normal(0, 3, (5, 2))
    poses = Poses(np.zeros(5), np.zeros(5), found[:, 0], found[:, 1])
    series = TiltSeries(np.zeros((5, 20, 30)), ANGLES, poses=poses)
    once = set_tilt_axis(series, -12.0, 3.5)
    twice = set_tilt_axis(set_tilt_axis(series, 77.0, -9.0), -12.0, 3.5)
    np.testing.assert_allclose(
        twice.start_poses.as_array(), once.start_poses.as_array(), atol=1e-12
    )
    moved = shifts_xy(once.start_poses)
    np.testing.assert_allclose(moved - moved[2], found - found[2])
    assert [step.name for step in twice.history] == ["set_tilt_axis"] * 2
    assert once.history[-1].parameters == {"axis_deg": -12.0, "shift_px": 3.5}


def test_the_helper_series_is_misaligned():
    series, truth = ball_series(np.arange(-60, 61, 20), 10, 3, jitter_px=2)
    assert not series.start_poses.as_array().any()
    assert truth.axis_deg == pytest.approx(10)
    assert np.ptp(truth.dx_px) > 1


@pytest.mark.parametrize("quarter", range(4))
def test_the_border_level_is_the_median_of_all_four_sides(quarter):
    image = np.full((9, 14), 50.0)
    image[0], image[-1] = 0.0, 8.0  # as many of each, so the short sides decide
    image[1:-1, 0], image[1:-1, -1] = 3.0, 5.0
    assert border_level(np.rot90(image, quarter)) == 4.0


def test_masked_pixels_take_the_median_of_those_that_count():
    images = np.random.default_rng(0).random((3, 5, 8), np.float32)
    valid = images > 0.4
    valid[2] = False
    filled = filled_images(TiltSeries(images, [-1, 0, 1], valid=valid))
    np.testing.assert_array_equal(filled[valid], images[valid])
    for tilt in (0, 1):
        middle = np.median(images[tilt][valid[tilt]])
        assert (filled[tilt][~valid[tilt]] == middle).all()
    assert (filled[2] == 0).all()


def test_the_window_falls_towards_all_four_edges_alike():
    window = edge_window((20, 31), 0.25)
    np.testing.assert_allclose(window, window[::-1])
    np.testing.assert_allclose(window, window[:, ::-1])
    assert max(window[0].max(), window[:, 0].max()) < 0.05
    inner = window[5:-5, 8:-8]
    np.testing.assert_allclose(inner, 1.0)
    assert (np.diff(window[:5, 15]) > 0).all()
