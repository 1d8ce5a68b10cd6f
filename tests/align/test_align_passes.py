"""Interleaved passes with their own tilt axis and shift, told apart and aligned."""

from __future__ import annotations

import numpy as np
import pytest
from ball_series import shift_error_px

from napari_inr_tomo.align import align, set_tilt_axis
from napari_inr_tomo.passes import compare_passes, in_words, passes_of
from napari_inr_tomo.preprocess import exclude_views, merge_series
from napari_inr_tomo.simulate import simulate_series
from napari_inr_tomo.types import Poses, TiltSeries

AXES_DEG = (6.0, 8.0)
SHIFTS_PX = (0.0, 5.0)


def two_passes(name: str, seed: int) -> tuple[TiltSeries, Poses]:
    """Return an interleaved series and the poses it was made with."""
    made = [
        simulate_series(
            name,
            (56, 64),
            np.arange(first, 67, 8.0),
            dose=400,
            axis_deg=axis_deg,
            axis_shift_px=shift_px,
            shift_sigma_px=1.0,
            margin=0.35,
            seed=seed + number,
        )
        for number, (first, axis_deg, shift_px) in enumerate(
            zip((-64.0, -60.0), AXES_DEG, SHIFTS_PX, strict=True)
        )
    ]
    merged = merge_series([one.series for one in made])
    angles = np.concatenate([one.series.angles_deg for one in made])
    table = np.concatenate([one.truth_poses.as_array() for one in made])
    return merged, Poses.from_array(table[np.argsort(angles, kind="stable")])


def test_the_chain_finds_axis_and_shift_of_every_pass() -> None:
    series, truth = two_passes("chiral", 1)
    out = exclude_views(series, [3])
    done = align(out)
    keep = out.mask
    found = passes_of(done)
    for one, axis_deg in zip(found, AXES_DEG, strict=True):
        assert abs(one.axis_deg - axis_deg) < 0.5
    assert shift_error_px(done.take(keep), truth.take(keep)) < 0.5
    own = out.groups == out.groups[3]
    assert np.ptp(done.start_poses.z3_deg[own]) < 1e-9
    assert found[1].differs
    assert "The passes differ: pass 2 has its tilt axis turned by +" in in_words(found)
    gap = found[1].axis_deg - found[0].axis_deg
    turned = passes_of(set_tilt_axis(done, 20.0))
    assert turned[1].axis_deg - turned[0].axis_deg == pytest.approx(gap)
    assert set_tilt_axis(done, 20.0).start_poses.axis_deg == pytest.approx(20.0)
    told = done.history[-1].parameters["passes"]
    assert told[1]["axis_deg"] == found[1].axis_deg


def test_passes_that_lie_alike_are_not_said_to_differ() -> None:
    angles = np.arange(-60, 61, 4.0)
    groups = np.arange(len(angles)) % 2
    rng = np.random.default_rng(0)
    poses = Poses.from_array(rng.normal(0, 0.2, (len(angles), 4)))
    used = np.ones(len(angles), bool)
    alike = compare_passes(angles, poses, groups, used)
    assert not any(one.differs for one in alike)
    assert in_words(alike) == ""
    table = poses.as_array()
    table[groups == 1, 2] += 2.0
    apart = compare_passes(angles, Poses.from_array(table), groups, used)
    assert apart[1].dx_px == pytest.approx(2.0, abs=0.3)
    assert apart[1].differs
    assert "dx +2." in in_words(apart)
    assert compare_passes(angles, poses, 0 * groups, used) == []
    assert compare_passes(angles, poses, groups, groups == 1) == []


def test_every_difference_of_two_passes_has_its_own_number() -> None:
    """The axis by half the difference of z3 and z1, the turn by their sum."""
    angles = np.arange(-60, 61, 4.0)
    groups = np.arange(len(angles)) % 2
    axis, turn = np.where(groups, 7.0, 4.0), np.where(groups, 3.0, 1.0)
    dx, dy = np.where(groups, 5.0, 1.0), 0.1 * angles + np.where(groups, -2.0, 0.0)
    poses = Poses(turn / 2 - axis, turn / 2 + axis, dx, dy)
    used = np.ones(len(angles), bool)
    first, second = compare_passes(angles, poses, groups, used)
    assert (first.axis_deg, second.axis_deg) == pytest.approx((4.0, 7.0))
    assert second.turn_deg == pytest.approx(2.0)
    assert second.dx_px == pytest.approx(4.0)
    assert second.dy_px == pytest.approx(-2.0)
    assert (first.turn_deg, first.dx_px, first.dy_px) == pytest.approx((0.0, 0, 0))
    assert second.differs
    assert not first.differs
    assert (first.count, second.count) == (16, 15)
    used[:5] = False  # a pass of which some tilts are left out is one all the same
    again = compare_passes(angles, poses, groups, used)
    assert [one.count for one in again] == [13, 13]
    assert again[1].dx_px == pytest.approx(4.0)
