"""Simulated tilt series: what is planted is what the truth says."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from napari_inr_tomo.errors import UserError
from napari_inr_tomo.simulate import phantom, simulate_series
from napari_inr_tomo.types import Poses

ANGLES = np.arange(-60.0, 61.0, 15.0)


def make(**changes: Any) -> Any:
    return simulate_series(**{"size": 24, "angles_deg": ANGLES} | changes)


def test_defaults() -> None:
    made = simulate_series(size=16)
    assert made.series.images.shape == (61, 16, 16)
    assert made.series.angles_deg[[0, -1]].tolist() == [-60.0, 60.0]
    assert made.truth.data.shape == (16, 16, 16)
    assert made.truth_volume is made.truth
    assert not made.truth_poses.as_array().any()
    assert made.series.pixel_size_nm == made.truth.voxel_nm == 1.0


def test_series_is_misaligned_and_the_truth_explains_it() -> None:
    made = make(
        size=(24, 29), axis_deg=7.0, axis_shift_px=2.0, shift_sigma_px=1.5, jitter_deg=1
    )
    assert not made.series.start_poses.as_array().any()
    assert made.truth.data.shape == (24, 24, 29)
    thing = phantom("sea-mine", (24, 24, 29))
    again = thing.project(ANGLES, made.truth_poses)
    assert np.array_equal(again, made.series.images)


def test_axis_passes_at_the_given_distance() -> None:
    """The foot of the axis is axis_shift_px along its normal."""
    poses = make(axis_deg=30.0, axis_shift_px=4.0).truth_poses
    assert poses.axis_deg == pytest.approx(30.0)
    turn = math.radians(30.0)
    assert poses.dx_px == pytest.approx(-4 * math.sin(turn))
    assert poses.dy_px == pytest.approx(4 * math.cos(turn))


def test_reference_is_neither_shifted_nor_turned() -> None:
    made = make(shift_sigma_px=2.0, jitter_deg=3.0, seed=4)
    reference = made.series.reference
    values = made.truth_poses.as_array()
    assert not values[reference].any()
    assert (np.delete(values, reference, axis=0) != 0).all()


def test_shifts_have_the_given_spread() -> None:
    poses = make(size=8, angles_deg=np.linspace(-80, 80, 301), shift_sigma_px=1.5)
    assert np.std(poses.truth_poses.dx_px) == pytest.approx(1.5, rel=0.1)
    assert np.std(poses.truth_poses.dy_px) == pytest.approx(1.5, rel=0.1)
    assert not poses.truth_poses.z1_deg.any()


def test_dose_is_the_counts_in_the_brightest_pixel() -> None:
    clean, noisy = make(), make(dose=40.0)
    unit = clean.series.images.max() / 40.0
    counts = noisy.series.images / unit
    assert counts == pytest.approx(np.rint(counts), abs=1e-3)
    expected = clean.series.images / unit
    bright = expected > 5
    excess = (counts - expected)[bright] / np.sqrt(expected[bright])
    assert abs(excess.mean()) < 4 / np.sqrt(excess.size)
    assert excess.var() == pytest.approx(1.0, abs=5 * np.sqrt(2 / excess.size))
    assert np.array_equal(clean.truth.data, noisy.truth.data)


def test_background_is_smooth_positive_and_as_high_as_asked() -> None:
    clean, lit = make(size=(24, 31)), make(size=(24, 31), background=0.25)
    glow = lit.series.images.astype(float) - clean.series.images
    assert glow.min() > 0
    assert glow.max() == pytest.approx(0.25 * clean.series.images.max(), rel=1e-5)
    # a cubic in x and y: its fourth differences vanish, its third do not
    for axis in (1, 2):
        assert np.abs(np.diff(glow, 4, axis=axis)).max() < 1e-4 * glow.max()
    assert np.abs(np.diff(glow, axis=0)).max() > 1e-3 * glow.max()


def test_seed_decides_everything() -> None:
    settings = {"dose": 20.0, "shift_sigma_px": 1.0, "background": 0.1}
    first, same, other = make(**settings), make(**settings), make(seed=1, **settings)
    assert np.array_equal(first.series.images, same.series.images)
    assert not np.array_equal(first.truth_poses.dx_px, other.truth_poses.dx_px)


def test_noise_and_background_leave_the_poses_alone() -> None:
    plain, noisy = (
        make(shift_sigma_px=1.0),
        make(shift_sigma_px=1.0, dose=5.0, background=0.2),
    )
    assert np.array_equal(plain.truth_poses.as_array(), noisy.truth_poses.as_array())


def test_tilt_order_is_kept() -> None:
    order = np.array([0.0, 30.0, -30.0, 60.0, -60.0])
    made = make(angles_deg=order)
    assert np.array_equal(made.series.angles_deg, order)
    again = phantom("sea-mine", 24).project(order, Poses.zeros(5))
    assert np.array_equal(made.series.images, again)


def test_history_is_json() -> None:
    step = make(dose=10, axis_deg=3.0).series.history[0]
    back = json.loads(json.dumps(step.to_json(), allow_nan=False))
    assert back["name"] == "simulate"
    assert back["parameters"]["axis_deg"] == 3.0


@pytest.mark.parametrize(
    "settings",
    [
        {"dose": 0},
        {"dose": -5.0},
        {"dose": math.nan},
        {"background": -0.1},
        {"shift_sigma_px": -1},
        {"jitter_deg": math.inf},
        {"axis_deg": math.nan},
        {"angles_deg": []},
        {"angles_deg": [0.0, math.nan]},
        {"angles_deg": [[0.0, 1.0]]},
        {"name": "nothing"},
        {"size": 4},
        {"seed": -1},
    ],
)
def test_senseless_settings_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        make(**settings)
