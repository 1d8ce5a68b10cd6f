"""Cross-correlation, centre of mass and the chain, on balls with known poses."""

from __future__ import annotations

import json

import numpy as np
import pytest
from ball_series import ball_series, shift_error_px
from scipy import ndimage

from napari_inr_tomo.align import (
    align,
    align_center_of_mass,
    align_common_line,
    align_cross_correlation,
    current_axis,
    set_tilt_axis,
)
from napari_inr_tomo.align.checks import axis_from_masses, specimen_masses
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.preprocess import exclude_views, subtract_background
from napari_inr_tomo.simulate import simulate_series
from napari_inr_tomo.types import Poses, TiltSeries

ANGLES = np.arange(-65, 66, 3.25)


def with_best_axis(found, truth, axis_deg):
    """Return the series with the axis shift that suits its shifts best.

    Cross-correlation holds the content in its place and so leaves that shift open.
    """
    trials = [
        set_tilt_axis(found, axis_deg, shift) for shift in np.arange(-20, 20.01, 0.25)
    ]
    return min(trials, key=lambda trial: shift_error_px(trial, truth))


@pytest.mark.parametrize("axis_deg", [0.0, 40.0])
@pytest.mark.parametrize("shift", [(0.3, -0.4), (7.25, -11.6)])
def test_a_pure_shift_is_found_to_a_twentieth_of_a_pixel(axis_deg, shift):
    image = ndimage.gaussian_filter(
        np.random.default_rng(0).normal(size=(4, 73, 90)), (0, 2, 2)
    )[0]
    image *= np.outer(np.hanning(73), np.hanning(90)) ** 2
    spectrum = np.fft.fft2(image)
    ky, kx = np.fft.fftfreq(73)[:, None], np.fft.fftfreq(90)
    moved = np.fft.ifft2(
        spectrum * np.exp(-2j * np.pi * (kx * shift[0] + ky * shift[1]))
    ).real
    series = set_tilt_axis(TiltSeries(np.stack([image, moved]), [0, 2]), axis_deg)
    poses = align_cross_correlation(series, low_px=1.0).start_poses
    assert poses.dx_px[1] - poses.dx_px[0] == pytest.approx(shift[0], abs=0.05)
    assert poses.dy_px[1] - poses.dy_px[0] == pytest.approx(shift[1], abs=0.05)
    assert poses.axis_deg == axis_deg


def test_cross_correlation_brings_tilts_together_in_any_order():
    order = np.random.default_rng(1).permutation(len(ANGLES))
    series, truth = ball_series(ANGLES, 7, 4, jitter_px=3)
    mixed = TiltSeries(series.images[order], series.angles_deg[order])
    raw = shift_error_px(set_tilt_axis(series, 7), truth)
    found, other = align_cross_correlation(series), align_cross_correlation(mixed)
    np.testing.assert_allclose(
        other.start_poses.dx_px, found.start_poses.dx_px[order], atol=1e-9
    )
    assert found.start_poses.dx_px[found.reference] == 0
    assert shift_error_px(with_best_axis(found, truth, 7), truth) < 0.6 < 2.5 < raw


def test_alignment_never_touches_the_pixels_and_can_be_written_down():
    series, _ = ball_series(ANGLES[::4], 5, 2, jitter_px=2)
    images = series.images.copy()
    done = align_center_of_mass(align_cross_correlation(series))
    assert done.images is series.images
    np.testing.assert_array_equal(done.images, images)
    assert json.loads(json.dumps([step.to_json() for step in done.history]))
    for step in done.history:
        assert len(step.parameters["dx_px"]) == len(series)


def test_a_second_correlation_changes_nothing_much():
    series, _ = ball_series(ANGLES[::2], 5, 2, jitter_px=2)
    once = align_cross_correlation(series)
    twice = align_cross_correlation(once)
    assert (
        np.abs(twice.start_poses.as_array() - once.start_poses.as_array()).max() < 0.1
    )


def test_excluded_and_broken_views_do_not_mislead():
    series, truth = ball_series(ANGLES, 0, 0, jitter_px=2, noise=0)
    images = series.images.copy()
    bad = 12
    images[bad] = np.random.default_rng(0).normal(size=images.shape[1:]) * 50
    broken = exclude_views(TiltSeries(images, series.angles_deg), [bad])
    done = align_cross_correlation(broken)
    assert done.start_poses.dx_px[bad] == 0
    truth = truth.take(np.flatnonzero(done.mask))
    assert shift_error_px(with_best_axis(done.only_used(), truth, 0), truth) < 0.6


@pytest.mark.parametrize("axis_deg", [0.0, 25.0, -80.0])
def test_the_centre_of_mass_gives_the_shifts_when_the_axis_is_known(axis_deg):
    series, truth = ball_series(ANGLES, axis_deg, 4, jitter_px=3, spread_px=16)
    done = align_center_of_mass(set_tilt_axis(series, axis_deg))
    assert shift_error_px(done, truth) < 0.15


def test_cut_off_tilts_follow_the_movement_of_the_whole():
    series, truth = ball_series(ANGLES, 0, 3, jitter_px=1, noise=0, spread_px=16)
    known = align_center_of_mass(series)
    images = series.images.copy()
    images[4, :, :3] += images.max()
    start = Poses(truth.z1_deg, truth.z3_deg, truth.dx_px + 2, truth.dy_px - 1)
    done = align_center_of_mass(TiltSeries(images, series.angles_deg, poses=start))
    assert 4 in done.history[-1].parameters["cut_tilts"]
    np.testing.assert_allclose(
        done.start_poses.dy_px[4], known.start_poses.dy_px[4], atol=0.15
    )


def test_a_full_field_is_left_alone_with_a_notice():
    texture = ndimage.gaussian_filter(
        np.random.default_rng(0).normal(size=(9, 50, 61)), (0, 3, 3)
    )
    series = TiltSeries(texture, np.arange(-40, 41, 10))
    done = align_center_of_mass(series)
    assert not done.start_poses.as_array().any()
    assert "nothing was changed" in done.notices[-1]
    assert done.history[-1].parameters["changed"] is False


@pytest.mark.parametrize("seed", [0, 1])
def test_the_whole_chain_from_nothing(seed):
    """Shifts of 3 px rms, an axis at 7 degrees and 4 px off: found again."""
    series, truth = ball_series(
        np.arange(-65, 66, 2.5), 7, 4, 3, (96, 110), 10, 27, noise=0.02, seed=seed
    )
    done = align(series)
    assert shift_error_px(done, truth) < 0.2
    assert done.start_poses.axis_deg == pytest.approx(7, abs=0.5)
    assert [step.name for step in done.history] == [
        "align_cross_correlation",
        "align_center_of_mass",
        "align_tilt_axis",
        "align_projections",
    ]


def test_the_chain_without_centre_of_mass():
    series, truth = ball_series(
        np.arange(-65, 66, 2.5), 7, 4, 3, (96, 110), 30, 38, noise=0.02
    )
    done = align(series, ("xcorr", "axis"))
    assert shift_error_px(done, truth) < 0.5
    assert done.start_poses.axis_deg == pytest.approx(7, abs=0.7)


def test_bad_requests_are_refused():
    series, _ = ball_series([-10, 0, 10])
    with pytest.raises(UserError, match="magic"):
        align(series, ["xcorr", "magic"])
    with pytest.raises(UserError, match="too few views"):
        align_center_of_mass(exclude_views(series, [0]))


@pytest.mark.parametrize("axis_deg", [7.0, -70.0])
def test_the_common_line_gives_the_angle_and_the_shifts_along_it(axis_deg):
    series, truth = ball_series(ANGLES, axis_deg, 4, jitter_px=2, spread_px=16)
    done = align_common_line(series)
    assert done.start_poses.axis_deg == pytest.approx(axis_deg, abs=1.0)
    assert not any("doubt" in notice for notice in done.notices)
    known = align_common_line(set_tilt_axis(series, axis_deg), turning=False)
    assert known.start_poses.axis_deg == axis_deg
    turn = np.deg2rad(axis_deg)
    along = np.array([np.cos(turn), np.sin(turn)])
    found, wanted = (
        np.stack([poses.dx_px, poses.dy_px], axis=1) @ along
        for poses in (known.start_poses, truth)
    )
    error = (found - found.mean()) - (wanted - wanted.mean())
    assert np.sqrt(np.mean(error**2)) < 0.2
    assert np.std(wanted) > 1
    reference = series.reference
    assert known.start_poses.dx_px[reference] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_common_line_that_may_be_another_one_is_told_of(seed):
    """A round body in few pixels, a background fitted: wrong by 60 degrees."""
    made = simulate_series(
        "sea-mine",
        40,
        np.arange(-60.0, 61, 4),
        dose=200,
        axis_deg=5.0,
        shift_sigma_px=1.5,
        background=0.2,
        seed=seed,
    )
    done = align_common_line(subtract_background(made.series))
    assert abs(done.start_poses.axis_deg - 5) > 30  # else there is nothing to tell of
    assert "is in doubt, since" in done.notices[-1]
    # which another search for the axis, or projection matching, answers
    for step in ("axis", "match"):
        told = align(done, (step,)).notices
        assert not any(notice.startswith("Common line") for notice in told)


def test_a_common_line_without_room_or_contrast_changes_nothing():
    texture = ndimage.gaussian_filter(
        np.random.default_rng(0).normal(50, 9, size=(9, 50, 61)), (0, 3, 3)
    )
    series = TiltSeries(texture, np.arange(-40, 41, 10))
    done = align_common_line(series)
    assert not done.start_poses.as_array().any()
    assert "nothing was changed" in done.notices[-1]
    assert done.history[-1].parameters["changed"] is False
    with pytest.raises(UserError, match="too few views"):
        align_common_line(exclude_views(series, range(5)))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_field_full_of_particles_is_not_centred(seed):
    """Specimen to every edge, brighter than nothing: no centre of mass to speak of."""
    series, _ = ball_series(ANGLES[::4], 5, 0, 1, count=150, spread_px=70, seed=seed)
    done = align(series, ("com",))
    assert not done.start_poses.as_array().any()
    assert "reaches the borders" in done.notices[-1]
    if seed == 0:
        axis = align(series, ("com", "axis")).history[-1].parameters
        assert axis["recentre"] is False


@pytest.mark.parametrize(
    "settings",
    [
        {"stretch": True, "cumulative": True},
        {"taper": 0.3},
        {"low_px": 0.5, "high_px": 1.0, "neighbours": 3, "stretch": True},
    ],
)
def test_options_of_the_cross_correlation_align_as_well(settings):
    series, truth = ball_series(ANGLES[::2], 7, 4, jitter_px=3, spread_px=16)
    known = set_tilt_axis(series, 7)
    done = align(known, ("xcorr",), {"xcorr": settings})
    assert shift_error_px(with_best_axis(done, truth, 7), truth) < 0.8
    whole = align_cross_correlation(known, subpixel=False, rounds=1, **settings)
    assert shift_error_px(with_best_axis(whole, truth, 7), truth) < 2
    moved = np.stack([whole.start_poses.dx_px, whole.start_poses.dy_px])
    turn = np.deg2rad(7)
    along = np.cos(turn) * moved[0] + np.sin(turn) * moved[1]
    np.testing.assert_allclose(along, np.rint(along), atol=1e-9)
    for name, value in settings.items():
        assert done.history[-1].parameters[name] == value


@pytest.mark.parametrize("bad", [{"taper": 0.0}, {"neighbours": 0}, {"low_px": -1}])
def test_senseless_options_are_refused(bad):
    series, _ = ball_series([-10, 0, 10])
    with pytest.raises(UserError, match="no sense"):
        align_cross_correlation(series, **bad)


def test_images_that_show_nothing_are_refused() -> None:
    """One image with something in it, left out, does not count."""
    images = np.zeros((5, 24, 27), np.float32)
    images[2, 10:14, 10:14] = 1.0
    series = TiltSeries(images, np.arange(-20.0, 21, 10))
    for steps in (("xcorr",), ("axis", "match")):
        with pytest.raises(UserError, match="There is nothing to align"):
            align(series.evolve(used=np.arange(5) != 2), steps)
    align(series, ("xcorr",))


@pytest.mark.parametrize("side", [None, "top", "bottom", "left", "right"])
def test_the_centre_of_mass_knows_its_place_and_every_side_it_is_cut_at(side):
    """Of a block on an uneven field; one that reaches a border is cut off there."""
    shape = (60, 71)
    low = {"top": (0, 30), "left": (20, 0)}.get(side, (20, 30))
    high = {"bottom": (60, 45), "right": (34, 71)}.get(side, (34, 45))
    image = np.full(shape, 5.0)
    image[low[0] : high[0], low[1] : high[1]] += 10
    series = TiltSeries(np.stack([image] * 3), [-1, 0, 1])
    centres, cut = specimen_masses(series)
    assert cut.tolist() == [side is not None] * 3
    y, x = ((low[k] + high[k] - shape[k]) / 2 for k in (0, 1))
    np.testing.assert_allclose(centres, [[x, y]] * 3, atol=1e-6)


@pytest.mark.parametrize(("axis_deg", "shift_px"), [(0.0, 4.0), (20.0, -3.0)])
def test_the_masses_ask_for_the_shift_of_the_axis(axis_deg, shift_px):
    """Whatever the tilts were moved by, and wherever the specimen lies."""
    series, truth = ball_series(ANGLES, axis_deg, shift_px, jitter_px=1.5)
    known = series.evolve(None, poses=truth)
    asked = axis_from_masses(known, axis_deg)
    assert asked == pytest.approx(current_axis(known)[1], abs=0.15)
    few = known.take(np.abs(ANGLES) < 30)
    assert axis_from_masses(few, axis_deg) is None
