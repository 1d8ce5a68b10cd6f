"""Shifts of tilts that come one by one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_inr_tomo.align import align_cross_correlation, align_new_tilts
from napari_inr_tomo.simulate import simulate_series
from napari_inr_tomo.types import Poses

ANGLES = np.arange(-45, 46, 5.0)


@pytest.mark.parametrize("axis_deg", [0.0, 7.0])
def test_one_by_one_in_any_order_is_as_good_as_all_at_once(axis_deg: float) -> None:
    made = simulate_series(
        "chiral", (45, 50), ANGLES, axis_deg=axis_deg, shift_sigma_px=1.5, seed=4
    )
    count = len(ANGLES)
    start = Poses.from_axis(count, axis_deg)
    series = made.series.evolve(poses=start)
    whole = align_cross_correlation(series).start_poses
    order = np.argsort(np.abs(ANGLES), kind="stable")  # 0, -5, 5, -10 ...
    known: list[int] = []
    poses = start
    for tilt in order:
        known.append(int(tilt))
        rows = np.sort(known)
        part = replace(
            series,
            images=series.images[rows],
            angles_deg=ANGLES[rows],
            poses=poses.take(rows),
            used=None,
        )
        found, heights = align_new_tilts(part, [int(np.searchsorted(rows, tilt))])
        assert (len(known) == 1) == bool(np.isnan(heights[0]))
        array = poses.as_array().copy()
        array[rows] = found.start_poses.as_array()
        poses = Poses.from_array(array)
    np.testing.assert_allclose(poses.as_array(), whole.as_array(), atol=0.05)
    truth = made.truth_poses
    x = (poses.dx_px - truth.dx_px) - (poses.dx_px - truth.dx_px)[len(ANGLES) // 2]
    assert np.sqrt(np.mean(x**2)) < 1.0


def test_known_tilts_keep_their_shifts() -> None:
    made = simulate_series("chiral", (30, 34), ANGLES, shift_sigma_px=1, seed=2)
    series = align_cross_correlation(made.series)
    before = series.start_poses.as_array()
    moved = before.copy()
    moved[4, 2:] = 0
    found, heights = align_new_tilts(series.evolve(poses=Poses.from_array(moved)), [4])
    after = found.start_poses.as_array()
    np.testing.assert_array_equal(np.delete(after, 4, 0), np.delete(before, 4, 0))
    assert np.abs(after[4] - before[4]).max() < 0.5
    assert 0.5 < heights[0] <= 1
