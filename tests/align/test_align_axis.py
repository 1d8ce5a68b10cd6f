"""The automatic tilt axis, on simulated balls and on the real needle."""

from __future__ import annotations

from dataclasses import replace

import mrcfile
import numpy as np
import pytest
from ball_series import ball_series

from napari_inr_tomo.align import (
    align,
    align_cross_correlation,
    align_tilt_axis,
    current_axis,
    find_tilt_axis,
)
from napari_inr_tomo.align.search import _with_checks
from napari_inr_tomo.errors import UserError
from napari_inr_tomo.types import Poses, TiltSeries

ANGLES = np.arange(-60, 61, 4)


@pytest.mark.parametrize(
    ("axis_deg", "shift_px", "most"),
    [(0.0, 3.0, 60), (-33.0, -4.0, 60), (84.0, 2.5, 60), (-33.0, 4.0, 90)],
)
def test_axis_and_shift_are_found_at_any_angle(axis_deg, shift_px, most):
    series, _ = ball_series(
        np.arange(-most, most + 1, 4), axis_deg, shift_px, count=14, spread_px=24
    )
    found = find_tilt_axis(series)
    assert found.axis_deg == pytest.approx(axis_deg, abs=0.6)
    assert found.shift_px == pytest.approx(shift_px, abs=0.3)
    assert found.score > 0.5
    assert found.mass_shift_px == pytest.approx(shift_px, abs=1.0)
    assert not [line for line in found.agreement if "doubt" in line]


def test_the_other_measures_agree_with_the_right_axis_alone():
    series, _ = ball_series(ANGLES, 170.0, 3.0, count=14, spread_px=24)
    right = find_tilt_axis(series)  # -10 and 170 degrees are one axis
    assert sum(": agrees to " in line for line in right.agreement) == 2
    wrong = replace(right, axis_deg=right.axis_deg + 20, shift_px=right.shift_px + 6)
    lines = _with_checks(series, wrong).agreement
    assert [line.split(": ")[1] for line in lines] == [
        "disagrees, so the angle is in doubt",
        "differs",
    ]


def test_the_negativity_falls():
    series, _ = ball_series(np.arange(-90, 91, 4), 12, 5, count=14, spread_px=24)
    found = find_tilt_axis(series)
    assert found.negativity_after < 0.3 * found.negativity_before


def test_shifts_between_tilts_are_kept():
    series, truth = ball_series(np.arange(-65, 66, 5), 10, 4, jitter_px=3)
    psi = np.deg2rad(10)
    jitter = Poses(
        np.zeros(len(truth)),
        np.zeros(len(truth)),
        truth.dx_px + 4 * np.sin(psi),
        truth.dy_px - 4 * np.cos(psi),
    )
    start = TiltSeries(series.images, series.angles_deg, poses=jitter)
    done = align_tilt_axis(start)
    axis_deg, _ = current_axis(done)
    assert axis_deg == pytest.approx(10, abs=0.7)
    np.testing.assert_allclose(
        np.diff(done.start_poses.dx_px), np.diff(jitter.dx_px), atol=1e-9
    )


def test_a_frame_without_structure_leaves_a_doubt():
    images = np.random.default_rng(0).normal(50, 5, (21, 48, 52))
    done = align_tilt_axis(TiltSeries(images, np.arange(-60, 61, 6)))
    assert any("doubt" in notice for notice in done.notices)


@pytest.mark.parametrize(
    ("angles", "arguments"),
    [
        ([-30, 0, 30], {}),
        (np.arange(10.0), {}),
        (np.arange(-50, 51, 10), {"range_deg": (10, -10)}),
        (np.arange(-50, 51, 10), {"slices": 0}),
    ],
)
def test_what_cannot_tell_an_axis_is_refused(angles, arguments):
    series, _ = ball_series(angles, shape_yx=(30, 31))
    with pytest.raises(UserError):
        find_tilt_axis(series, **arguments)


@pytest.fixture(scope="module")
def needle(shared_data):
    with mrcfile.open(shared_data / "needle" / "needle_unaligned.mrc") as file:
        images = np.asarray(file.data, np.float32)
    angles = np.loadtxt(shared_data / "needle" / "needle_unaligned.rawtlt")
    return TiltSeries(images, angles)


def test_the_real_needle(needle):
    """Content moved by dy = -1.5 px, then turned counter-clockwise by 10.6 degrees."""
    done = align(needle, ("xcorr", "axis"))
    axis_deg, shift_px = current_axis(done)
    assert axis_deg == pytest.approx(10.6, abs=0.5)
    reference = done.reference
    assert done.start_poses.dy_px[reference] == pytest.approx(1.5, abs=0.7)
    assert shift_px == pytest.approx(1.5, abs=0.7)
    result = done.history[-1].parameters
    assert result["negativity_after"] < 0.05
    assert result["negativity_after"] < 0.2 * result["negativity_before"]
    assert result["profile_axis_deg"] == pytest.approx(10.6, abs=1)


def test_the_real_needle_with_a_missing_wedge(needle):
    keep = np.abs(needle.angles_deg) <= 60
    cut = TiltSeries(needle.images[keep], needle.angles_deg[keep])
    axis_deg, shift_px = current_axis(align_tilt_axis(align_cross_correlation(cut)))
    assert axis_deg == pytest.approx(10.6, abs=0.7)
    assert shift_px == pytest.approx(1.5, abs=0.7)
