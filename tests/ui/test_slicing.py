"""Slices, projections and spectra shown by the docks: signs, places, units."""

from __future__ import annotations

import numpy as np
import pytest

from napari_inr_tomo import geometry, planes
from napari_inr_tomo.simulate import simulate_series
from napari_inr_tomo.types import Poses
from napari_inr_tomo.ui import slicing


def coarse(data: np.ndarray, step: int) -> slicing.Shown:
    """Means over step^3 voxels, as a live volume of a large box."""
    z, y, x = (n // step for n in data.shape)
    blocks = data[: z * step, : y * step, : x * step]
    blocks = blocks.reshape(z, step, y, step, x, step)
    return slicing.Shown(blocks.mean(axis=(1, 3, 5)), float(step))


def inside(points: np.ndarray, triangle: np.ndarray) -> np.ndarray:
    """Whether (..., 2) points lie between the two sides that leave the origin."""
    sides = np.linalg.solve(triangle[1:].T, points.reshape(-1, 2).T)
    return (sides > 0).all(axis=0).reshape(points.shape[:-1])


def test_slices_of_a_volume_are_its_slices() -> None:
    data = np.random.default_rng(0).random((9, 14, 11)).astype(np.float32)
    z, y, x = (geometry.centred(n) for n in data.shape)
    wanted = planes.orthogonal((x[3], y[5], z[2]), data.shape)
    xy, xz, yz = slicing.sample(slicing.Shown(data), wanted)
    np.testing.assert_allclose(xy, data[2], atol=1e-5)
    np.testing.assert_allclose(xz, data[:, 5], atol=1e-5)
    np.testing.assert_allclose(yz, data[:, :, 3], atol=1e-5)


@pytest.mark.parametrize("step", [1, 2])
def test_the_projection_at_the_true_pose_is_the_image(step: int) -> None:
    made = simulate_series(
        "chiral",
        (40, 48),
        np.array([-50.0, 0.0, 37.0]),
        axis_deg=20.0,
        axis_shift_px=3.0,
        shift_sigma_px=2.0,
        seed=4,
    )
    volume = coarse(made.truth.data, step)
    for k, angle in enumerate(made.series.angles_deg):
        image = made.series.images[k]
        view = slicing.tilt_view(volume, image, angle, made.truth_poses.take([k]))
        assert view.share < (0.12 if step == 1 else 0.4)
        wrong = slicing.tilt_view(volume, image, -angle, made.truth_poses.take([k]))
        if angle:
            assert wrong.share > 2 * view.share
        shifted = made.truth_poses.take([k]).as_array() + np.array([0, 0, 2, 0])
        moved = slicing.tilt_view(volume, image, angle, Poses.from_array(shifted))
        assert moved.share > 2 * view.share


def test_large_images_are_compared_by_blocks() -> None:
    data = np.ones((4, 600, 500), np.float32)
    image = np.full((600, 500), 4.0, np.float32)
    view = slicing.tilt_view(slicing.Shown(data), image, 0.0, Poses.zeros(1))
    assert view.measured.shape == view.computed.shape == (200, 166)
    inside = view.residual[2:-2, 2:-2]
    assert np.abs(inside).max() < 0.05


def test_the_wedge_drawn_is_where_the_power_is_missing() -> None:
    """With tilts on one side only, so that a wrong sign would show."""
    from scipy.ndimage import map_coordinates

    angles = np.arange(-70.0, 11.0, 2.0)
    side = 64
    y, z = np.meshgrid(geometry.centred(side), geometry.centred(side))
    rng = np.random.default_rng(1)
    image = np.zeros((side, side))
    for angle in np.deg2rad(angles):  # back-projected noise: power on these lines only
        across = y * np.cos(angle) - z * np.sin(angle)
        noise = rng.normal(size=2 * side)
        image += map_coordinates(noise, [across.ravel() + side], order=1).reshape(
            side, side
        )
    power = 10 ** slicing.power_spectrum(image)
    frequency = np.stack([y, z], axis=-1) / side
    missing = np.zeros((side, side), bool)
    for triangle in slicing.wedge(angles):
        missing |= inside(frequency, triangle)
    ring = (np.hypot(y, z) > 6) & (np.hypot(y, z) < 25)
    assert 0.4 < missing[ring].mean() < 0.65
    assert power[ring & missing].mean() < 0.1 * power[ring & ~missing].mean()


def test_nothing_is_missing_from_a_full_turn() -> None:
    assert slicing.wedge(np.arange(-90, 91, 2.0)) == []
