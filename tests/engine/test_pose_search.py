"""Shifts and axis are found from a misaligned series with known truth."""

from __future__ import annotations

import numpy as np
import pytest

from napari_inr_tomo import metrics
from napari_inr_tomo.engine.data import intensity_scale
from napari_inr_tomo.engine.pose_search import find_poses
from napari_inr_tomo.simulate import simulate_series
from napari_inr_tomo.types import Poses

ANGLES = np.arange(-60, 61, 5.0)


@pytest.mark.parametrize(("name", "axis"), [("sea-mine", 3.0), ("chiral", -6.0)])
def test_finds_shifts_and_axis(name, axis) -> None:
    sim = simulate_series(
        name, 40, ANGLES, axis_deg=axis, shift_sigma_px=1.5, dose=200, seed=2
    )
    series = sim.series
    images = series.images / intensity_scale(series.images)
    steps = []
    found = find_poses(
        images,
        series.angles_deg,
        series.start_poses,
        series.reference,
        40,
        report=lambda *now: bool(steps.append(now[3])),
    )
    errors = metrics.pose_errors(ANGLES, found, sim.truth_poses)
    assert errors["dx_px"] < 0.15
    assert errors["dy_px"] < 0.15
    assert abs(errors["axis_deg"]) < 1.0
    assert steps[-1] < 0.5 * steps[0]


def test_aligned_series_stays_aligned_and_reference_frozen() -> None:
    sim = simulate_series("chiral", (40, 36), ANGLES, seed=1)
    series = sim.series
    found = find_poses(series.images, ANGLES, series.start_poses, series.reference, 40)
    assert found.dx_px[series.reference] == found.dy_px[series.reference] == 0
    errors = metrics.pose_errors(ANGLES, found, sim.truth_poses)
    assert errors["shift_px"] < 0.1
    assert abs(errors["axis_deg"]) < 0.5


def test_ignored_pixels_do_not_matter() -> None:
    sim = simulate_series("chiral", 40, ANGLES, shift_sigma_px=1.0, seed=5)
    images = np.array(sim.series.images)
    valid = np.ones(images.shape, bool)
    valid[::3, 5:9, 5:9] = False
    images[~valid] = 1e4
    found = find_poses(
        images,
        ANGLES,
        sim.series.start_poses,
        sim.series.reference,
        40,
        valid,
    )
    errors = metrics.pose_errors(ANGLES, found, sim.truth_poses)
    assert errors["shift_px"] < 0.3


def test_stops_when_asked() -> None:
    sim = simulate_series("chiral", 32, ANGLES, shift_sigma_px=1.0, seed=5)
    count = []
    find_poses(
        sim.series.images,
        ANGLES,
        sim.series.start_poses,
        sim.series.reference,
        32,
        report=lambda *now: len(count) == 2 or bool(count.append(1)),
    )
    assert len(count) == 2


@pytest.mark.parametrize(("name", "axis"), [("sea-mine", 10.0), ("porous", -3.0)])
def test_without_noise_it_is_right_to_a_tenth_of_a_pixel_and_of_a_degree(
    name, axis
) -> None:
    angles = np.arange(-60, 61, 2.0)
    sim = simulate_series(name, 64, angles, axis_deg=axis, shift_sigma_px=3.0, seed=1)
    steps = []
    found = find_poses(
        sim.series.images / intensity_scale(sim.series.images),
        angles,
        sim.series.start_poses,
        sim.series.reference,
        64,
        report=lambda *now: bool(steps.append(now[4])),
    )
    errors = metrics.pose_errors(angles, found, sim.truth_poses)
    assert errors["shift_px"] < 0.1
    assert abs(errors["axis_deg"]) < 0.1
    assert steps[-1] < 32  # turns that are not stretched need more than 40


def test_frozen_tilts_keep_their_pose_and_the_others_come_to_them() -> None:
    sim = simulate_series("chiral", 40, ANGLES, shift_sigma_px=1.5, seed=4)
    held = [2, 20]
    start = sim.series.start_poses.as_array().copy()
    start[held] = sim.truth_poses.as_array()[held]
    begun = Poses.from_array(start)
    found = find_poses(
        sim.series.images, ANGLES, begun, sim.series.reference, 40, frozen=held
    )
    assert found.as_array()[held] == pytest.approx(start[held], abs=0)
    assert metrics.pose_errors(ANGLES, found, sim.truth_poses)["shift_px"] < 0.2
