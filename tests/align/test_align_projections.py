"""Common line and projection matching, on phantoms with known poses."""

from __future__ import annotations

import numpy as np
import pytest
from ball_series import ball_series, shift_error_px
from scipy import ndimage

from napari_inr_tomo import io
from napari_inr_tomo.align import (
    align,
    align_cross_correlation,
    align_projections,
    current_axis,
    find_common_line,
    set_tilt_axis,
)
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.preprocess import exclude_views, prepare
from napari_inr_tomo.simulate import simulate_series
from napari_inr_tomo.types import TiltSeries

ANGLES = np.arange(-65.0, 66.0, 5.0)


def make(name="chiral", axis_deg=7.0, **changes):
    settings = {"dose": 300, "shift_sigma_px": 2.0, "margin": 0.3, "seed": 1}
    return simulate_series(
        name, (56, 64), ANGLES, axis_deg=axis_deg, **(settings | changes)
    )


@pytest.mark.parametrize("axis_deg", [7.0, -64.0, 88.0])
def test_the_common_line_is_found_at_any_angle_without_any_alignment(axis_deg):
    made = make(axis_deg=axis_deg, axis_shift_px=3)
    line = find_common_line(made.series)
    apart = (line.axis_deg - axis_deg + 90) % 180 - 90
    assert abs(apart) < 2
    assert line.contrast > 0.5
    turn = np.deg2rad(line.axis_deg)
    along = made.truth_poses.dx_px * np.cos(turn) + made.truth_poses.dy_px * np.sin(
        turn
    )
    assert np.std(line.along_px - along) < 0.25


def test_a_field_full_on_all_sides_has_no_common_line():
    noise = np.random.default_rng(0).normal(size=(9, 50, 61))
    texture = ndimage.gaussian_filter(noise, (0, 3, 3))
    assert find_common_line(TiltSeries(texture, np.arange(-40, 41, 10))) is None


@pytest.mark.parametrize("unit", [2.0**-40, 2.0**-20, 2.0**20])  # amperes, counts ...
def test_the_unit_of_the_intensities_changes_nothing(unit):
    series = align_cross_correlation(make(margin=0.4).series)
    changed = series.evolve(images=series.images * np.float32(unit))
    one, other = (align_projections(each).start_poses for each in (series, changed))
    np.testing.assert_allclose(other.as_array(), one.as_array(), atol=1e-3)


@pytest.mark.parametrize(("name", "off_deg"), [("chiral", 5.0), ("ellipsoids", -6.0)])
def test_shifts_and_axis_are_found_from_degrees_away(name, off_deg):
    made = make(name)
    rough = align_cross_correlation(set_tilt_axis(made.series, 7 + off_deg))
    done = align_projections(rough)
    assert shift_error_px(rough, made.truth_poses) > 0.2
    assert shift_error_px(done, made.truth_poses) < 0.12
    assert done.start_poses.axis_deg == pytest.approx(7, abs=0.4)
    parameters = done.history[-1].parameters
    assert parameters["axis_sigma_deg"] < 0.4
    assert abs(done.start_poses.axis_deg - 7) < 2 * parameters["axis_spread_deg"] < 2
    assert name != "chiral" or parameters["doubts"] == []
    assert done.images is rough.images


def test_right_poses_stay_and_the_reference_is_held():
    made = make(dose=None)
    done = align_projections(made.series.evolve(poses=made.truth_poses))
    assert done.start_poses.dx_px[done.reference] == 0
    assert shift_error_px(done, made.truth_poses) < 0.05
    held = align_projections(done, turning=False, largest_px=32)
    assert held.start_poses.axis_deg == done.start_poses.axis_deg


def test_doubts_of_the_first_search_end_where_matching_has_found_the_axis():
    made = make(dose=None)
    said = ("One of another kind.", "Tilt axis: its angle is in doubt")
    series = made.series.evolve(poses=made.truth_poses, notices=said)
    done = align_projections(series, largest_px=32)
    assert done.notices[0] == said[0]
    assert not [line for line in done.notices if line.startswith("Tilt axis")]
    held = align_projections(series, turning=False, largest_px=32)
    assert held.notices[:2] == said


def test_a_wrong_axis_is_left_for_that_of_the_common_line():
    made = make()
    done = align_projections(align_cross_correlation(set_tilt_axis(made.series, -50)))
    assert len(done.history[-1].parameters["starts_deg"]) == 2
    assert done.start_poses.axis_deg == pytest.approx(7, abs=0.5)


def test_a_broken_tilt_is_named_and_excluded_ones_keep_their_shift():
    made = make()
    images = made.series.images.copy()
    images[6] = images[6, ::-1, ::-1]
    series = TiltSeries(images, ANGLES, poses=made.truth_poses)
    done = align_projections(series, largest_px=32)
    assert done.history[-1].parameters["outlier_tilts"] == [6]
    assert any("tilt 6 fits far worse" in notice for notice in done.notices)
    without = align_projections(exclude_views(series, [6]), largest_px=32)
    assert without.start_poses.dx_px[6] == made.truth_poses.dx_px[6]
    assert without.history[-1].parameters["residual"][6] is None
    assert not [line for line in without.notices if "far worse" in line]


def test_noise_alone_leaves_a_doubt():
    images = np.random.default_rng(0).normal(0, 5, (21, 40, 44))
    done = align_projections(TiltSeries(images, np.arange(-60, 61, 6)), largest_px=32)
    assert any("doubt" in notice for notice in done.notices)


def test_a_round_specimen_does_not_tell_the_axis_and_says_so():
    """One ball: with the shifts free, every axis explains it as well."""
    series, truth = ball_series(
        np.arange(-60, 61, 4.0), 7, count=1, spread_px=0.1, noise=0.05
    )
    start = series.evolve(poses=truth)
    done = align_projections(start, largest_px=32)
    assert any("axis" in line for line in done.history[-1].parameters["doubts"])
    assert done.history[-1].parameters["axis_spread_deg"] > 0.6


def test_too_few_views_are_refused():
    with pytest.raises(UserError, match="too few"):
        align_projections(TiltSeries(np.zeros((4, 20, 21)), [-10, 0, 10, 20]))


@pytest.mark.slow
def test_the_whole_way_from_a_dirty_series():
    made = simulate_series(
        "ellipsoids",
        (80, 91),
        np.arange(-65, 66, 3.25),
        dose=100,
        axis_deg=7,
        axis_shift_px=4,
        shift_sigma_px=3,
        background=0.3,
        drift=0.2,
        hot_pixels=0.001,
        margin=0.3,
        seed=2,
    )
    done = align(prepare(made.series))
    assert shift_error_px(done, made.truth_poses) < 0.5
    assert done.start_poses.axis_deg == pytest.approx(7, abs=0.5)


def test_the_real_needle_by_the_default_chain(shared_data):
    needle = io.read_series(shared_data / "needle" / "needle_unaligned.mrc")
    done = align(prepare(needle))
    axis_deg, shift_px = current_axis(done)
    assert axis_deg == pytest.approx(10.6, abs=0.5)
    assert shift_px == pytest.approx(1.5, abs=0.7)
    assert not done.history[-1].parameters["doubts"]


def test_without_noise_no_tilt_is_named_for_a_hundredth_more():
    tilts = np.arange(-60, 61, 4.0)
    made = simulate_series("chiral", 48, tilts, shift_sigma_px=1.0, seed=1)
    done = align_projections(made.series.evolve(poses=made.truth_poses))
    residual = np.array(done.history[-1].parameters["residual"])
    assert residual[15] > 1.6 * np.median(residual)  # at 0 degrees, of the grid
    assert done.history[-1].parameters["outlier_tilts"] == []
    images = made.series.images.copy()
    images[7] = np.roll(images[6], 4, axis=1)  # the stage stood still
    broken = align_projections(TiltSeries(images, tilts, poses=made.truth_poses))
    assert broken.history[-1].parameters["outlier_tilts"] == [7]
