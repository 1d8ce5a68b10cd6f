"""Slices across the axis: analytic discs, round spots and crescents."""

from __future__ import annotations

import numpy as np
import pytest
from ball_series import render

from napari_inr_tomo.align import (
    SlicePreviewer,
    preview_slices,
    set_tilt_axis,
    tilt_picture,
)
from napari_inr_tomo.align.backprojection import (
    SliceBackProjector,
    angular_weights,
    negativity,
)
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.geometry import centred
from napari_inr_tomo.preprocess import exclude_views
from napari_inr_tomo.types import Poses, TiltSeries

ANGLES = np.arange(-90, 90, 2.0)


def disc_sinogram(angles, size, radius, y, z):
    """Return exact projections of a disc of value 1."""
    theta = np.deg2rad(angles)[:, None]
    t = centred(size) - (y * np.cos(theta) - z * np.sin(theta))
    return 2 * np.sqrt(np.clip(radius**2 - t**2, 0, None))


def test_a_disc_comes_back_with_its_value_and_place():
    size = 81
    slices = SliceBackProjector(ANGLES, size)(
        disc_sinogram(ANGLES, size, 12, 9, -14)[None]
    )
    y, z = centred(size), centred(size)[:, None]
    distance = np.hypot(y - 9, z + 14)
    assert slices[0][distance < 9].mean() == pytest.approx(1, abs=0.02)
    assert np.abs(slices[0][(distance > 15) & (np.hypot(y, z) < 38)]).mean() < 0.02


def test_angular_weights_cover_the_half_circle():
    uneven = np.array([-90, -80, -50, -45, 0, 10, 60.0])
    assert angular_weights(ANGLES).sum() == pytest.approx(np.pi, rel=1e-5)
    assert angular_weights(uneven).sum() == pytest.approx(np.pi, rel=0.15)
    both_ends = np.arange(-90, 91, 2.0)
    assert angular_weights(both_ends).sum() == pytest.approx(np.pi, rel=0.02)
    wedge = angular_weights(np.arange(-60, 61, 2.0))
    np.testing.assert_allclose(wedge, np.deg2rad(2), rtol=1e-5)
    doubled = angular_weights(np.array([0, 0, 10, 20.0]))
    assert doubled[0] == doubled[1] == pytest.approx(doubled[2] / 2)


def test_negativity_is_a_ratio_of_energies():
    assert negativity(np.array([3.0, -1.0, 1.0])) == pytest.approx(0.1)


def test_a_consistent_sinogram_has_less_misfit():
    projector = SliceBackProjector(ANGLES[::3], 41)
    right = disc_sinogram(ANGLES[::3], 41, 5, 8, 3)
    wrong = np.roll(right, 3, axis=1)
    residual, energy = projector.misfit(np.stack([right, wrong]), 20)
    assert energy[0] == pytest.approx((right**2).sum(), rel=1e-5)
    assert residual[0] < 0.01 * energy[0]
    assert residual[1] > 5 * residual[0]


@pytest.fixture(scope="module")
def ball():
    """One ball off the axis; the axis at 15 degrees, 4 px from the centre."""
    psi = np.deg2rad(15)
    one = np.ones(len(ANGLES))
    poses = Poses(-15 * one, 15 * one, -4 * np.sin(psi) * one, 4 * np.cos(psi) * one)
    # in the frame of the axis: 6 along, 10 across, -8 deep
    point = [
        6 * np.cos(psi) - 10 * np.sin(psi),
        6 * np.sin(psi) + 10 * np.cos(psi),
        -8.0,
    ]
    images = render([point], [3.0], [1.0], ANGLES, poses, (61, 74))
    return TiltSeries(images, ANGLES)


def moments(image):
    """Return the centre (y, z) and the ratio of the axes of a spot."""
    bright = np.clip(image, 0, None) * (image > 0.2 * image.max())
    z, y = (centred(n) for n in image.shape)
    total = bright.sum()
    at_y, at_z = bright.sum(0) @ y / total, bright.sum(1) @ z / total
    yy = bright.sum(0) @ (y - at_y) ** 2 / total
    zz = bright.sum(1) @ (z - at_z) ** 2 / total
    yz = (z - at_z) @ bright @ (y - at_y) / total
    small, large = np.linalg.eigvalsh([[yy, yz], [yz, zz]])
    return at_y, at_z, np.sqrt(large / small)


def test_the_right_axis_gives_a_round_spot_in_the_right_place(ball):
    preview = preview_slices(ball, 15, 4, [6, -12])
    assert preview.slices.shape == (2, 61, 61)
    at_y, at_z, ratio = moments(preview.slices[0])
    assert (at_y, at_z) == pytest.approx((10, -8), abs=0.1)
    assert ratio < 1.1
    assert np.abs(preview.slices[1]).max() < 0.02 * preview.slices[0].max()


@pytest.mark.parametrize(
    ("axis_deg", "shift_px"), [(15, -1), (15, 8), (-15, 4), (4, 4)]
)
def test_a_wrong_axis_gives_crescents_and_negativity(ball, axis_deg, shift_px):
    previewer = SlicePreviewer(ball)
    right = previewer.slices(15, 4, [6])
    wrong = previewer.slices(axis_deg, shift_px, [6])
    assert wrong.negativity[0] > 3 * right.negativity[0]
    assert wrong.residual[0] > 1.5 * right.residual[0]
    assert right.residual[0] < 0.15
    assert moments(wrong.slices[0])[2] > 1.1


def test_the_previewer_neither_grows_nor_touches_the_data(ball):
    before = ball.images.copy()
    previewer = SlicePreviewer(ball)
    first = previewer.slices(10, 1, [0])
    for axis_deg in (-90, 45, 80):
        previewer.slices(axis_deg, 0, [0, 5])
    np.testing.assert_array_equal(previewer.slices(10, 1, [0]).slices, first.slices)
    np.testing.assert_array_equal(ball.images, before)
    assert previewer.slices(80, 0, [0]).slices.shape == (1, 74, 74)


def test_the_preview_shows_what_setting_the_axis_would_give(ball):
    """Shifts found before, and an axis set before, count once."""
    rng = np.random.default_rng(0)
    shifts = rng.normal(0, 2, (2, len(ANGLES)))
    poses = Poses(0 * shifts[0], 0 * shifts[0], *shifts)
    series = TiltSeries(ball.images, ANGLES, poses=poses)
    direct = preview_slices(series, 15, 4, [6])
    placed = set_tilt_axis(series, -60, 7)
    np.testing.assert_allclose(
        preview_slices(placed, 15, 4, [6]).slices, direct.slices, atol=1e-5
    )


def test_excluded_views_do_not_count(ball):
    images = ball.images.copy()
    images[7] = 1000
    series = exclude_views(TiltSeries(images, ANGLES), [7])
    spot = preview_slices(series, 15, 4, [6]).slices[0]
    assert moments(spot)[:2] == pytest.approx((10, -8), abs=0.2)


def test_the_picture_of_all_tilts_is_a_streak_across_the_axis(ball):
    rng = np.random.default_rng(0)
    dx, dy = np.rint(rng.normal(0, 2, (2, len(ANGLES))))
    dx -= dx[45]
    dy -= dy[45]  # the reference, at 0 degrees, keeps its place
    moved = np.stack(
        [
            np.roll(image, (int(y), int(x)), (0, 1))
            for image, y, x in zip(ball.images, dy, dx, strict=True)
        ]
    )
    poses = Poses(0 * dx, 0 * dx, dx, dy)
    series = TiltSeries(moved, ANGLES, poses=poses)
    inner = (slice(12, -12), slice(12, -12))
    for kind, wanted in (("sum", ball.images.mean(0)), ("maximum", ball.images.max(0))):
        picture = tilt_picture(series, kind)
        np.testing.assert_allclose(picture[inner], wanted[inner], atol=1e-4)
    bright = tilt_picture(series, "sum")
    y, x = (centred(n) for n in bright.shape)
    total = bright.sum()
    at = np.array([bright.sum(0) @ x, bright.sum(1) @ y]) / total
    xx = bright.sum(0) @ (x - at[0]) ** 2
    yy = bright.sum(1) @ (y - at[1]) ** 2
    xy = (y - at[1]) @ bright @ (x - at[0])
    streak = np.linalg.eigh([[xx, xy], [xy, yy]])[1][:, 1]
    assert abs(streak @ [-np.sin(np.deg2rad(15)), np.cos(np.deg2rad(15))]) > 0.999
    with pytest.raises(UserError, match="median"):
        tilt_picture(series, "median")


@pytest.mark.parametrize("kind", ["sum", "maximum"])
def test_the_picture_of_all_tilts_takes_off_levels_and_undoes_shifts(kind):
    """A spot that was moved tilt by tilt is one spot again, on nothing."""
    shifts = np.array([[3, -2], [1, 4], [-5, 0]])  # dx, dy; the middle is the reference
    images = np.zeros((3, 31, 40)) + np.array([5, 100, -30])[:, None, None]
    for image, (dx, dy) in zip(images, shifts, strict=True):
        image[15 + dy, 20 + dx] += 9
    poses = Poses(np.zeros(3), np.zeros(3), *shifts.T)
    picture = tilt_picture(TiltSeries(images, [-20, 0, 20], poses=poses), kind)
    wanted = np.zeros((31, 40))
    wanted[19, 21] = 9
    np.testing.assert_allclose(picture, wanted, atol=1e-4)
